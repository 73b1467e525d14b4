# What a Mac's kernel and its daemons do for the tools of tests/fake_mac, and the words of the tests' scripts.
#
#   /images/disk4   an image that is attached: a token, its loop device, its file, on a line each
#   /torn/disk4     one that was taken away under its users

volume=/Volumes/disk
tab=$(printf '\t')

# What a tool asks: a line that is a word with its arguments. The answer is `<exit code> <bytes>`, and what it printed.
# `keep DISK TOKEN` has no end: it is the process that serves an image, and when that dies, the disk dies.
answer() {
    local line output=/tmp/answer.$$ code=0
    IFS= read -r line || return 0
    case $line in
    "keep "*)
        echo kept
        cat >/dev/null
        eval "tear_out ${line#keep }"
        ;;
    *)
        eval "$line" >"$output" 2>&1 </dev/null || code=$?
        echo "$code $(wc -c <"$output")"
        cat "$output"
        rm -f "$output"
        ;;
    esac
}

# Mounts by NFS: options in Linux' words, path, mount point. The kernel itself asks the MOUNT protocol, if the options come
# as text.
nfs_mount() {
    mkdir -p "$3"
    mount -i -t nfs -o "vers=3,proto=tcp,mountproto=tcp,nolock,addr=10.0.2.2,$1" "10.0.2.2:$2" "$3"
}

# 3: nothing is mounted there; 16: it is in use. By force also what is in use goes, and what hangs on it, after what was
# written had its time to be sent.
unmount() {
    local point=$1 kind image
    kind=$(awk -v point="$point" '$2 == point { print $3 }' /proc/mounts)
    [ -n "$kind" ] || return 3
    if [ "${2:-}" = force ]; then
        timeout 10 sync -f "$point"
        end_users "$point"
        for image in /images/*; do
            case $(sed -n 3p "$image" 2>/dev/null) in
            "$point"/*) tear_out "${image##*/}" "$(head -n 1 "$image")" ;;
            esac
        done
        umount "$point" 2>/dev/null || umount -f -l "$point" || return 1
    else
        umount "$point" || return 16
    fi
    # A directory that the system made goes with the volume: nothing is written to the disk below.
    [ "$kind" = nfs ] || rmdir "$point"
}

point_of() {
    awk -v node="$1" '$1 == node { print $2 }' /proc/mounts
}

# A disk and its partitions: a Mac's name, Linux' node.
nodes() {
    local loop part
    loop=$(sed -n 2p "/images/$1")
    printf '%s\t%s\n' "$1" "$loop"
    for part in "$loop"p*; do
        [ ! -e "$part" ] || printf '%s\t%s\n' "$1s${part##*p}" "$part"
    done
}

# Makes a disk of a file: its name, a token, the file, bytes per block, rw or ro. 2: there is no such file.
attach() {
    local loop readonly=''
    [ -f "$3" ] || return 2
    [ "$5" = rw ] || readonly=--read-only
    loop=$(/programs/losetup --find --show --partscan --sector-size "$4" $readonly "$3") || return 1
    printf '%s\n' "$2" "$loop" "$3" >"/images/$1"
}

# Its nodes: name, bytes, mount point.
entities() {
    local name node
    nodes "$1" | while IFS=$tab read -r name node; do
        printf '%s\t%s\t%s\n' "$name" "$(blockdev --getsize64 "$node")" "$(point_of "$node")"
    done
}

# Bytes per block, and all of them.
shape() {
    local node
    node=$(nodes "${1%%s[0-9]*}" | awk -v name="$1" '$1 == name { print $2 }')
    [ -n "$node" ] || return 3
    echo "$(blockdev --getss "$node") $(blockdev --getsize64 "$node")"
}

# Mounts what is on a disk, as the system does. 3: there is nothing that could be mounted.
mount_disk() {
    local name node label point found=3
    for node in $(nodes "$1" | cut -f 2); do
        [ "$(/programs/blkid -p -o value -s TYPE "$node")" = ext4 ] || continue
        found=0
        [ -z "$(point_of "$node")" ] || continue
        label=$(/programs/blkid -p -o value -s LABEL "$node") || true
        point=/Volumes/${label:-Untitled}
        mkdir -p "$point"
        mount -t ext4 -o barrier=1 "$node" "$point" || return 1
    done
    return $found
}

# 16: it is in use, and by whom. By force its users are ended, after what they wrote is written.
unmount_disk() {
    local node point
    for node in $(nodes "$1" | cut -f 2); do
        point=$(point_of "$node")
        [ -z "$point" ] || unmount "$point" ${2:+"$2"} || { open_files "$point"; return 16; }
    done
}

# Takes away a disk of which nothing is mounted. 16: it is in use.
detach() {
    local loop node users
    [ -e "/images/$1" ] || return 3
    for node in $(nodes "$1" | cut -f 2); do
        [ -z "$(point_of "$node")" ] || return 16
        users=$(open_files "$node")
        [ -z "$users" ] || { echo "$users"; return 16; }
    done
    loop=$(sed -n 2p "/images/$1")
    /programs/losetup -d "$loop" || return 1
    rm "/images/$1"
}

# Sends what was written to these file systems and files to where it stays.
write_back() {
    local path
    for path in "$@"; do
        if [ -d "$path" ]; then sync -f "$path" || return 1; else sync "$path" || return 1; fi
    done
}

# Who has something open at these places or below: process, name, file.
open_files() {
    ls -ld /proc/[0-9]*/cwd /proc/[0-9]*/fd/* 2>/dev/null | awk -v wanted="$*" '
        BEGIN { n = split(wanted, points, " ") }
        {
            split($0, sides, " -> ")
            file = sides[2]
            split(substr(sides[1], index(sides[1], "/proc/")), parts, "/")
            for (i = 1; i <= n; i++)
                if (file == points[i] || index(file, points[i] "/") == 1) {
                    name = "?"
                    getline name <("/proc/" parts[3] "/comm")
                    print parts[3] "\t" name "\t" file
                }
        }'
}

end_users() {
    local users
    users=$(open_files "$1" | cut -f 1 | sort -u)
    [ -z "$users" ] || kill -KILL $users 2>/dev/null || true
}

# A disk goes under its users: what is not written is lost. One of which nothing was mounted is merely gone.
tear_out() {
    local node point torn=''
    [ "$(head -n 1 "/images/$1" 2>/dev/null)" = "$2" ] || return 0
    for node in $(nodes "$1" | cut -f 2); do
        point=$(point_of "$node")
        [ -n "$point" ] || continue
        torn=yes
        mount -o remount,abort "$point" 2>/dev/null
        end_users "$point"
        umount -l "$point" && rmdir "$point"
    done
    /programs/losetup -d "$(sed -n 2p "/images/$1")" 2>/dev/null
    if [ -n "$torn" ]; then
        mv "/images/$1" "/torn/$1"
    else
        rm "/images/$1"
    fi
}

# What is mounted: a Mac's name or what it comes from, mount point, kind, options.
mounts() {
    local image
    {
        for image in /images/*; do
            [ ! -e "$image" ] || nodes "${image##*/}" | sed 's/^/node\t/'
        done
        sed 's/^/mount /' /proc/mounts
    } | awk '
        $1 == "node" { name[$3] = "/dev/" $2 }
        $1 == "mount" { print ($2 in name ? name[$2] : $2) "\t" $3 "\t" $4 "\t" $5 }'
}

# A program that has a file of the volume open, and nothing to do.
hold() {
    tail -f "$1" >/dev/null 2>&1 </dev/null &
    echo $! >/tmp/holder
}

let_go() {
    kill "$(cat /tmp/holder)"
    rm /tmp/holder
}

# What waits for servers that are gone gets an error, and what it does next, too, while `/tmp/hopeless` is there.
give_up_servers() {
    local point
    while [ -e /tmp/hopeless ]; do
        for point in $(awk '$3 == "nfs" { print $2 }' /proc/mounts); do
            umount -f "$point" || true
        done
        usleep 200000
    done
}

# Removes what an earlier test left.
wipe() {
    local image point
    wipe_load
    [ ! -e /tmp/holder ] || let_go || true
    touch /tmp/hopeless
    give_up_servers >/dev/null 2>&1 &
    for image in /images/*; do
        [ ! -e "$image" ] || tear_out "${image##*/}" "$(head -n 1 "$image")" || true
    done
    for point in $(awk '$3 == "nfs" { print $2 }' /proc/mounts); do
        umount -f -l "$point" || true
    done
    rm -f /tmp/hopeless
    wait
    rm -rf /torn/* /images/*
}

# Whether something hangs in the kernel that no `wipe` can end: only a guest that starts anew has no part of it.
stuck() {
    local look
    for look in 1 2 3 4 5; do
        ps -o stat | grep -q ^D || return 1
        usleep 500000
    done
}
