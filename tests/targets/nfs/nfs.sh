# The words of the tests' scripts. A script begins with `place PORT PATH FILE`.

volume=/mnt

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
    mount -t ext4 -o barrier=1 /dev/loop0 "$volume"
}

down() {
    umount "$volume"
    losetup -d /dev/loop0
    umount /nfs
}

# Removes what an earlier test left.
wipe() {
    wipe_load
    umount -f -l "$volume" 2>/dev/null || true
    losetup -d /dev/loop0 2>/dev/null || true
    umount -f -l /nfs 2>/dev/null || true
}
