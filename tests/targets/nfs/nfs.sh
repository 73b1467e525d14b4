# The words of the tests' scripts. A script begins with `place PORT PATH FILE`.

place() {
    port=$1 path=$2 file=$3
}

# The kernel itself asks the MOUNT protocol, if the options come as text. hard, as on a Mac.
nfs_up() {
    mount -i -t nfs \
        -o "vers=3,proto=tcp,mountproto=tcp,nolock,hard,timeo=50,retrans=2,port=$port,mountport=$port,addr=10.0.2.2" \
        "10.0.2.2:$path" /nfs
}

loop_up() {
    losetup /dev/loop0 "/nfs/$file"
}

# The file system on it, with its journal's barriers.
disk_up() {
    mount -t ext4 -o barrier=1 /dev/loop0 /mnt
}

down() {
    umount /mnt
    losetup -d /dev/loop0
    umount /nfs
}

# Removes what an earlier test left.
wipe() {
    [ ! -e /tmp/load ] || kill "$(cat /tmp/load)" 2>/dev/null || true
    rm -f /tmp/load /tmp/written /tmp/failed
    umount -f -l /mnt 2>/dev/null || true
    losetup -d /dev/loop0 2>/dev/null || true
    umount -f -l /nfs 2>/dev/null || true
}

# Writes file after file, each on stable storage before its name and sum are noted, until it is told to stop.
load() {
    (
        n=0
        while [ ! -e /tmp/stop ]; do
            n=$((n + 1))
            dd if=/dev/urandom of=/mnt/$n bs=8k count=$((n % 16 + 1)) conv=fsync 2>/dev/null && sum=$(sha256sum /mnt/$n) ||
                { echo "file $n" >>/tmp/failed; break; }
            echo "$sum" >>/tmp/written
            # Some go again, so that metadata is written over and over.
            [ $((n % 3)) != 0 ] || { rm /mnt/$n && sed -i '$d' /tmp/written; }
        done
        rm -f /tmp/load
    ) >/dev/null 2>&1 </dev/null &
    echo $! >/tmp/load
}

# How many files the load has finished.
written() {
    [ -e /tmp/written ] && wc -l </tmp/written || echo 0
}
