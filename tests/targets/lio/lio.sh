# The words the scenarios use in the guest: what targetcli does, written to configfs by hand.
core=/sys/kernel/config/target/core
iscsi=/sys/kernel/config/target/iscsi

# Takes away everything, so that a scenario begins with an empty target.
wipe() {
    echo 0 >$iscsi/discovery_auth/enforce_discovery_auth
    for target in $iscsi/iqn.*; do
        [ -d "$target" ] || continue
        group=$target/tpgt_1
        remove_target
    done
    for device in $core/fileio_*/* $core/iblock_*/* $core/rd_mcp_*/*; do
        [ ! -e "$device/info" ] || rmdir "$device"
    done
    for adapter in $core/fileio_* $core/iblock_* $core/rd_mcp_*; do
        [ ! -d "$adapter" ] || rmdir "$adapter"
    done
    rm -f /disks/*
}

# remove_target: the one the words are about; its disks stay.
remove_target() {
    if [ -d "$group" ]; then
        disable
        find "$group/lun" -type l -exec rm {} +
        for directory in "$group"/lun/lun_* "$group"/np/*; do
            [ ! -d "$directory" ] || rmdir "$directory"
        done
        rmdir "$group"
    fi
    rmdir "${group%/*}"
}

# device_of NAME: where configfs has it.
device_of() {
    echo $core/*/"$1"
}

# disk NAME BYTES BLOCK_SIZE [attribute=value …]: a file in the guest's memory.
disk() {
    truncate -s "$2" "/disks/$1"
    mkdir -p "$core/fileio_0/$1"
    echo "fd_dev_name=/disks/$1,fd_dev_size=$2,fd_buffered_io=1" >"$core/fileio_0/$1/control"
    set_up "$core/fileio_0/$1" "$@"
}

# drive NAME BYTES BLOCK_SIZE [attribute=value …]: the virtual machine's disk, which a reset does not empty.
drive() {
    mkdir -p "$core/iblock_0/$1"
    echo "udev_path=/dev/vda" >"$core/iblock_0/$1/control"
    set_up "$core/iblock_0/$1" "$@"
}

set_up() {
    device=$1
    echo 1 >"$device/enable"
    # Its NAA identifier is made of the hexadecimal digits in this.
    echo -n "$2" | md5sum | cut -c 1-32 >"$device/wwn/vpd_unit_serial"
    echo "$4" >"$device/attrib/block_size"
    shift 4
    for pair; do
        echo "${pair#*=}" >"$device/attrib/${pair%%=*}"
    done
}

# target IQN: open to anyone, not yet enabled. `group` is its portal group from here on.
target() {
    group=$iscsi/$1/tpgt_1
    mkdir -p "$group"
    attribute authentication=0 generate_node_acls=1 cache_dynamic_acls=1 demo_mode_write_protect=0
}

# of IQN: which target the next words are about.
of() {
    group=$iscsi/$1/tpgt_1
}

# attribute NAME=VALUE …: of the portal group.
attribute() {
    for pair; do
        echo "${pair#*=}" >"$group/attrib/${pair%%=*}"
    done
}

# key NAME=VALUE …: what it offers for a key of RFC 7143.
key() {
    for pair; do
        echo "${pair#*=}" >"$group/param/${pair%%=*}"
    done
}

# unit NUMBER NAME: makes a disk a unit of the target.
unit() {
    mkdir "$group/lun/lun_$1"
    ln -s "$(device_of "$2")" "$group/lun/lun_$1/$2"
}

# no_unit NUMBER: takes it away again.
no_unit() {
    find "$group/lun/lun_$1" -type l -exec rm {} +
    rmdir "$group/lun/lun_$1"
}

# chap NAME SECRET [MUTUAL_NAME MUTUAL_SECRET]: logins to the target need it.
chap() {
    attribute authentication=1
    account "$group/auth" "$@"
}

# discovery_chap NAME SECRET [MUTUAL_NAME MUTUAL_SECRET]: discovery needs it.
discovery_chap() {
    account "$iscsi/discovery_auth" "$@"
    echo 1 >"$iscsi/discovery_auth/enforce_discovery_auth"
}

account() {
    printf %s "$2" >"$1/userid"
    printf %s "$3" >"$1/password"
    # LIO wants mutual authentication wherever these are set; NULL takes them away.
    printf %s "${4:-NULL}" >"$1/userid_mutual"
    printf %s "${5:-NULL}" >"$1/password_mutual"
}

# portal PORT
portal() {
    mkdir -p "$group/np/$address:$1"
}

# no_portal PORT
no_portal() {
    rmdir "$group/np/$address:$1"
}

enable() {
    echo 1 >"$group/enable"
}

disable() {
    echo 0 >"$group/enable"
}

# Initiators that are logged in, one per line.
sessions() {
    tr '\0' '\n' <"$group/dynamic_sessions" | grep . || true
}

# resize NAME BYTES: of a disk in memory.
resize() {
    truncate -s "$2" "/disks/$1"
    echo "fd_dev_size=$2" >"$core/fileio_0/$1/control"
}

# alua NAME ATTRIBUTE=VALUE: of the port group every disk is in.
alua() {
    echo "${2#*=}" >"$(device_of "$1")/alua/default_tg_pt_gp/${2%%=*}"
}

# alua_state NUMBER: of a unit.
alua_state() {
    grep 'Primary Access State' "$group/lun/lun_$1/alua_tg_pt_gp"
}
