#!/bin/bash
# What could not be tried without a Mac: step by step, with a verdict each, and one report to send back.
#
#   sudo packaging/macos-acceptance.sh                          the program in target/release, and a target of its own
#   sudo packaging/macos-acceptance.sh --bin /opt/homebrew/bin  another program
#   sudo packaging/macos-acceptance.sh --packages target/package    installs and removes the packages as well
#   … --target IQN --portal HOST[:PORT] --erase                 a NAS, or a target in a container: ALL DATA ON ITS UNIT 0 IS LOST
#   … --sleep                                                   puts the Mac to sleep for a minute
#   … --mebibytes 64                                            copies less than 1 GiB
#   … --report FILE                                             without: iscsid-acceptance-DATE.txt
#
# Nothing is left behind but the report. Exit: 0 no step failed, 1 one did, 64 wrong usage.
# bash 3.2, as macOS has it.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
bin=$here/../target/release
packages='' target='' portal='' erase=no sleep=no mebibytes=1024
report=iscsid-acceptance-$(date +%Y%m%d-%H%M%S).txt
volumes=${ACCEPTANCE_VOLUMES:-/Volumes}
# Seconds until a disk must be there.
patience=${ACCEPTANCE_PATIENCE:-30}
practice=iqn.2026-11.org.iscsid.practice:disk
volume_name=iscsid-acceptance

usage() {
    echo "macos-acceptance.sh: $1" >&2
    exit 64
}

while [ $# -gt 0 ]; do
    case $1 in
    --bin | --packages | --target | --portal | --mebibytes | --report)
        [ $# -gt 1 ] || usage "$1 needs a value"
        case $1 in
        --bin) bin=$2 ;;
        --packages) packages=$2 ;;
        --target) target=$2 ;;
        --portal) portal=$2 ;;
        --mebibytes) mebibytes=$2 ;;
        --report) report=$2 ;;
        esac
        shift 2 ;;
    --erase) erase=yes && shift ;;
    --sleep) sleep=yes && shift ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit 0 ;;
    *) usage "$1 is no option; --help lists them" ;;
    esac
done
[ "$(id -u)" = 0 ] || usage "attaching disks takes root: run it with sudo"
for one in iscsid iscsictl; do
    [ -x "$bin/$one" ] || usage "there is no $one in $bin; run make build, or say --bin"
done
if [ -n "$target" ]; then
    [ -n "$portal" ] || usage "--target needs --portal"
    [ "$erase" = yes ] || usage "unit 0 of $target will be erased: say --erase if that is meant"
fi

work=$(mktemp -d /tmp/iscsid-acceptance.XXXXXX)
run=$work/run
daemon_log=$work/iscsid.log
failed=0 passed=0 skipped=0
why='' daemon='' device='' volume='' written='' logged_in='' installed='' practice_pid='' practice_4k_pid='' writer=''

say() {
    echo "$*" | tee -a "$report"
}

ctl() {
    "$bin/iscsictl" --runtime-dir "$run" "$@"
}

# A step fails with a sentence, or is skipped with one.
fail() {
    why=$1
    return 1
}

skip() {
    why=$1
    return 2
}

# Asks every tenth of a second, for so many seconds.
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

step() {
    local name=$1 verdict=0 begin=$SECONDS
    shift
    why=''
    "$@" > "$work/step" 2>&1 || verdict=$?
    case $verdict in
    0) passed=$((passed + 1)) && say "PASS  $name ($((SECONDS - begin)) s)${why:+: $why}" ;;
    2) skipped=$((skipped + 1)) && say "SKIP  $name: $why" ;;
    *)
        failed=$((failed + 1))
        say "FAIL  $name ($((SECONDS - begin)) s): ${why:-see below}"
        sed 's/^/      | /' "$work/step" | tail -40 >> "$report" ;;
    esac
}

start_daemon() {
    "$bin/iscsid" --config "$work/iscsid.plist" --runtime-dir "$run" "$@" >> "$daemon_log" 2>&1 &
    daemon=$!
    within 15 ctl list targets > /dev/null || fail "iscsid does not answer; its log is at the end of this report"
}

# kill waits for nobody; wait does.
stop_daemon() {
    [ -n "$daemon" ] || return 0
    kill "-$1" "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    daemon=''
}

# The device that unit 0 of a target is attached as.
device_of() {
    ctl list luns --format json | awk -F'"' -v target="$1" '
        $2 == "target" { mine = $4 == target }
        mine && $2 == "device" && $4 != "" { print $4; exit }'
}

has_device() {
    [ -n "$(device_of "$1")" ]
}

# name, options: a target of our own, asked by a pipe; its number is in practice_pid.
start_practice() {
    local name=$1
    shift
    mkfifo "$work/$name.ask" || return 1
    "$bin/iscsictl" practice-target "$@" < "$work/$name.ask" > "$work/$name.says" 2>> "$work/$name.log" &
    practice_pid=$!
    if [ "$name" = practice ]; then exec 5> "$work/$name.ask"; else exec 6> "$work/$name.ask"; fi
    within 10 test -s "$work/$name.says" || fail "the practice target does not start: $(cat "$work/$name.log")"
}

portal_of() {
    sed -n '1s/.*"portal":"\([^"]*\)".*/\1/p' "$work/$1.says"
}

answered() {
    [ "$(wc -l < "$work/practice.says")" -gt "$1" ]
}

# A counter of the practice target.
count() {
    local lines
    lines=$(wc -l < "$work/practice.says")
    echo counts >&5
    within 10 answered "$lines" || return 1
    tail -1 "$work/practice.says" | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
}

sum_of() {
    shasum -a 256 "$1" | cut -d' ' -f1
}

mounted() {
    [ -d "$volumes/$1" ]
}

# disk, name: APFS on all of it.
format() {
    diskutil eraseDisk APFS "$2" "$1" || return 1
    within 30 mounted "$2"
}

need_disk() {
    [ -n "$device" ] || skip "no disk was attached"
}

need_volume() {
    [ -n "$volume" ] || skip "there is no volume"
}

intact() {
    [ "$(sum_of "$volume/data")" = "$written" ]
}

step_selftest() {
    "$bin/iscsictl" selftest
}

step_install() {
    [ -n "$packages" ] || skip "no --packages" || return
    installer -pkg "$packages/Installer.pkg" -target / || fail "installer refuses: /var/log/install.log says why" || return
    installed=yes
    /usr/local/bin/iscsictl list targets || fail "the installed iscsid does not answer" || return
    man -w 8 iscsictl || fail "there is no manual page" || return
    # From here on it is the program beside this script that is tried; two daemons would be in each other's way.
    launchctl bootout system/org.iscsid.iscsid
}

step_daemon() {
    mkdir -p "$run"
    start_daemon
}

step_doctor() {
    "$bin/iscsictl" --help | grep -q '^  doctor' || skip "this iscsictl has no doctor" || return
    ctl doctor
}

step_target() {
    if [ -n "$target" ]; then
        ctl discover "$portal"
        return
    fi
    start_practice practice --mebibytes $((mebibytes * 2 + 512)) || return
    target=$practice portal=$(portal_of practice)
    why="the practice target at $portal"
}

step_login() {
    [ -n "$portal" ] || skip "there is no target" || return
    ctl add target "$target" --portal "$portal" && ctl login "$target" && logged_in=yes
}

step_attach() {
    [ -n "$logged_in" ] || skip "not logged in" || return
    within "$patience" has_device "$target" || fail "no device within $patience s: $(ctl list luns 2>&1 | tr '\n' ' ')" || return
    device=$(device_of "$target")
    diskutil info "$device" || return
    why=$device
}

step_format() {
    need_disk || return
    format "$device" "$volume_name" || fail "diskutil does not format $device" || return
    volume=$volumes/$volume_name
}

step_copy() {
    need_volume || return
    dd if=/dev/urandom of="$volume/data" bs=1048576 count="$mebibytes" || return
    written=$(sum_of "$volume/data")
    # Out of the caches, so that the target answers.
    sync
    purge
    intact || fail "what was read is not what was written" || return
    why="$mebibytes MiB, SHA-256 $written"
}

step_fullfsync() {
    local before after
    need_volume || return
    [ "$target" = "$practice" ] || skip "only the practice target counts" || return
    before=$(count synchronize_cache) && [ -n "$before" ] || fail "the practice target does not answer" || return
    # fcntl F_FULLFSYNC is 51 on macOS.
    perl -e 'open(my $f, "+>", $ARGV[0]) or die; print $f "x" x 4096; $f->flush; fcntl($f, 51, 0) or die "F_FULLFSYNC: $!"' "$volume/sync" || return
    after=$(count synchronize_cache)
    # Write-through needs none of them: then nothing may be volatile.
    if [ "$after" -gt "$before" ]; then
        why="$((after - before)) SYNCHRONIZE CACHE"
    elif [ "$(count volatile_bytes)" = 0 ]; then
        why="no SYNCHRONIZE CACHE, but nothing volatile either: writes were written through"
    else
        fail "no SYNCHRONIZE CACHE has reached the target, and $(count volatile_bytes) bytes would not survive a power cut"
    fi
}

step_busy() {
    local refused
    need_volume || return
    exec 7< "$volume/data"
    refused=$(ctl logout "$target" 2>&1)
    local status=$?
    exec 7<&-
    echo "$refused"
    [ $status != 0 ] || { logged_in='' && fail "a logout went through while a file was open"; } || return
    why=$refused
}

step_kill() {
    local disk
    need_volume || return
    dd if=/dev/urandom of="$volume/load" bs=65536 count=$((mebibytes * 4)) 2> "$work/load" &
    writer=$!
    sleep 2
    stop_daemon KILL
    start_daemon || return
    wait "$writer" || fail "the write that was under way has failed: $(tail -1 "$work/load")" || return
    writer=''
    within 60 has_device "$target" || fail "the disk did not come back" || return
    intact || fail "what was written before is damaged" || return
    disk=$(diskutil info "$volume" | sed -n 's/.*Device Node: *//p')
    diskutil unmount "$volume" || return
    fsck_apfs -n "${disk:-$device}" || fail "fsck_apfs finds faults" || return
    diskutil mount "${disk:-$device}" && within 30 mounted "$volume_name" && intact
}

step_sleep() {
    need_volume || return
    [ "$sleep" = yes ] || skip "no --sleep" || return
    pmset relative wake 60 && pmset sleepnow || return
    # The clock of the process stops while the Mac sleeps.
    sleep 20
    within 60 intact || fail "the volume does not answer after waking" || return
    touch "$volume/after-waking"
}

step_upgrade() {
    need_volume || return
    # A daemon that is told to end logs out, and the next one logs in to what it is to log in to.
    ctl modify target "$target" --auto-login yes || return
    stop_daemon TERM
    start_daemon || return
    within 60 has_device "$target" || fail "the disk is not there under the new daemon" || return
    within 60 mounted "$volume_name" || fail "the volume is not mounted under the new daemon" || return
    intact || fail "what was written before is damaged"
}

step_4kn() {
    local disk first=$practice_pid
    [ "$target" = "$practice" ] || [ -z "$target" ] || skip "only with the practice target" || return
    [ -z "$logged_in" ] || ctl logout "$target" || fail "the logout failed" || return
    logged_in=''
    ctl remove target "$target" || return
    start_practice practice4k --mebibytes 512 --block-size 4096 || return
    practice_4k_pid=$practice_pid practice_pid=$first
    ctl add target "$practice" --portal "$(portal_of practice4k)" && ctl login "$practice" || return
    logged_in=yes
    within "$patience" has_device "$practice" || fail "no device within $patience s" || return
    disk=$(device_of "$practice")
    diskutil info "$disk" | grep 'Block Size: *4096' || fail "the disk does not have blocks of 4096 bytes" || return
    format "$disk" "$volume_name-4k" || fail "diskutil does not format $disk" || return
    dd if=/dev/urandom of="$volumes/$volume_name-4k/data" bs=1048576 count=16 && sync
}

step_kext() {
    kmutil showloaded --list-only --bundle-identifier org.iscsid.iscsi 2>/dev/null | grep -q org.iscsid.iscsi ||
        skip "the kernel extension is not loaded" || return
    [ -z "$logged_in" ] || ctl logout "$target" || fail "the logout failed" || return
    stop_daemon TERM
    start_daemon --bridge kext && ctl login "$target" || return
    logged_in=yes
    within "$patience" has_device "$target" || fail "the extension gives no disk" || return
    diskutil info "$(device_of "$target")"
}

step_logout() {
    [ -n "$logged_in" ] || skip "not logged in" || return
    ctl logout --all || return
    logged_in=''
    ! has_device "$target" || fail "the disk is still there"
}

step_uninstall() {
    local settings='/Library/Application Support/iscsid' before
    [ -n "$installed" ] || skip "nothing was installed" || return
    before=$(ls -lR "$settings" 2>/dev/null)
    launchctl bootstrap system /Library/LaunchDaemons/org.iscsid.iscsid.plist
    installer -pkg "$packages/Uninstall.pkg" -target / || fail "installer refuses: /var/log/install.log says why" || return
    installed=''
    [ ! -e /usr/local/libexec/iscsid ] && [ ! -e /Library/LaunchDaemons/org.iscsid.iscsid.plist ] || fail "files are left" || return
    [ "$(ls -lR "$settings" 2>/dev/null)" = "$before" ] || fail "the settings have changed"
}

clean_up() {
    # Removes what is left. No verdict depends on it.
    [ -z "$writer" ] || kill "$writer" 2>/dev/null
    [ -z "$logged_in" ] || ctl logout --all --force > /dev/null 2>&1
    stop_daemon TERM
    exec 5>&- 6>&-
    [ -z "$practice_pid" ] || kill "$practice_pid" 2>/dev/null
    [ -z "$practice_4k_pid" ] || kill "$practice_4k_pid" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

: > "$report" || usage "the report $report cannot be written"
say "iscsid acceptance, $(date -u '+%Y-%m-%d %H:%M UTC')"
say "$("$bin/iscsid" --version); macOS $(sw_vers -productVersion) ($(sw_vers -buildVersion)), $(uname -m); $(csrutil status | head -1)"
step "selftest: the main job inside the process" step_selftest
step "install: Installer.pkg" step_install
step "daemon: it starts and answers" step_daemon
step "doctor: nothing is missing" step_doctor
step "target" step_target
step "login" step_login
step "attach: a disk in Finder" step_attach
step "format: APFS" step_format
step "copy $mebibytes MiB and verify" step_copy
step "F_FULLFSYNC reaches the target" step_fullfsync
step "logout refuses while a file is open" step_busy
step "kill -9 under load, then fsck_apfs" step_kill
step "sleep and wake" step_sleep
step "upgrade: another daemon under a mounted volume" step_upgrade
step "a unit with blocks of 4096 bytes" step_4kn
step "the kernel extension" step_kext
step "logout: the disk goes" step_logout
step "uninstall: Uninstall.pkg" step_uninstall
{
    echo
    echo "The daemon's log:"
    tail -200 "$daemon_log" 2>/dev/null
} >> "$report"
say ""
say "$passed passed, $failed failed, $skipped skipped. Please send $report to https://github.com/iscsid/iscsid/issues"
[ $failed = 0 ]
