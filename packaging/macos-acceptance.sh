#!/bin/bash
# What could not be tried without a Mac: step by step, with a verdict each, and one report to send back.
#
#   sudo packaging/macos-acceptance.sh --packages target/package    installs the packages, drives the job that launchd runs, removes them
#   sudo packaging/macos-acceptance.sh                          the program in target/release, without launchd
#   sudo packaging/macos-acceptance.sh --bin /opt/homebrew/bin  another program
#   … --target IQN --portal HOST[:PORT] --erase                 a NAS, or a target in a container: ALL DATA ON ITS UNIT 0 IS LOST
#   … --sleep                                                   puts the Mac to sleep for a minute
#   … --spare-mac                                               what may hang or panic a Mac that is needed: a target that falls silent
#                                                               while a disk is formatted, memory that runs out
#   … --mebibytes 64                                            copies less than 1 GiB
#   … --report FILE                                             without: iscsid-acceptance-DATE.txt
#
# Run it from ssh, or give Terminal Full Disk Access: else macOS asks once whether Terminal may use files on a removable
# volume, and a step waits for the answer. Nothing is left behind but the report, at whose end stands what the tools of
# this Mac have answered, word for word. Exit: 0 no step failed, 1 one did, 64 wrong usage.
# bash 3.2, as macOS has it.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# Where the disk of the Mac begins, for a dry run.
root=${ACCEPTANCE_ROOT:-}
bin=$here/../target/release
packages='' target='' portal='' erase=no sleep=no spare=no mebibytes=1024
report=iscsid-acceptance-$(date +%Y%m%d-%H%M%S).txt
volumes=${ACCEPTANCE_VOLUMES:-/Volumes}
# Seconds until a disk must be there, and how long a target falls silent.
patience=${ACCEPTANCE_PATIENCE:-30}
silence=${ACCEPTANCE_SILENCE:-60}
practice=iqn.2026-11.org.iscsid.practice:disk
volume_name=iscsid-acceptance
job=system/org.iscsid.iscsid
plist=$root/Library/LaunchDaemons/org.iscsid.iscsid.plist

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
    --spare-mac) spare=yes && shift ;;
    --help | -h) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" && exit 0 ;;
    *) usage "$1 is no option; --help lists them" ;;
    esac
done
[ "$(id -u)" = 0 ] || usage "attaching disks takes root: run it with sudo"
if [ -n "$packages" ]; then
    for one in Installer Uninstall; do
        [ -f "$packages/$one.pkg" ] || usage "there is no $one.pkg in $packages; run make package"
    done
else
    for one in iscsid iscsictl; do
        [ -x "$bin/$one" ] || usage "there is no $one in $bin; run make build, or say --bin"
    done
fi
if [ -n "$target" ]; then
    [ -n "$portal" ] || usage "--target needs --portal"
    [ "$erase" = yes ] || usage "unit 0 of $target will be erased: say --erase if that is meant"
fi

work=$(mktemp -d /tmp/iscsid-acceptance.XXXXXX)
run=$work/run
daemon_log=$work/iscsid.log
failed=0 passed=0 skipped=0
why='' daemon='' device='' volume='' written='' logged_in='' installed='' practice_pid='' practice_4k_pid='' writer='' language=''

say() {
    echo "$*" | tee -a "$report"
}

ctl() {
    if [ -n "$installed" ]; then
        "$bin/iscsictl" "$@"
    else
        "$bin/iscsictl" --runtime-dir "$run" "$@"
    fi
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

# Ends what does not end by itself after so many seconds; macOS has no timeout(1).
bounded() {
    perl -e 'alarm shift; exec @ARGV or die "$ARGV[0]: $!\n"' "$@"
}

# What a tool answers goes to the end of the report, and nothing hangs on it.
capture() {
    local code=0
    bounded $((patience * 2)) "$@" > "$work/answer" 2>&1 || code=$?
    { printf '\n$ %s\n' "$*" && cat "$work/answer" && echo "[exit code $code]"; } >> "$work/captures"
}

# The first value of a key of a property list.
plist_value() {
    sed -n "/<key>$1<\\/key>/{n;s/.*<[a-z]*>\\(.*\\)<\\/[a-z]*>.*/\\1/p;}" | head -1
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
    within 15 answers || fail "iscsid does not answer; its log is at the end of this report"
}

# kill waits for nobody; wait does.
stop_daemon() {
    [ -n "$daemon" ] || return 0
    kill "-$1" "$daemon" 2>/dev/null
    wait "$daemon" 2>/dev/null
    daemon=''
}

answers() {
    ctl list targets > /dev/null 2>&1
}

# The process of the job.
job_pid() {
    launchctl print "$job" 2>/dev/null | sed -n 's/^[[:space:]]*pid = \([0-9]*\)$/\1/p' | head -1
}

another_than() {
    local now
    now=$(job_pid)
    [ -n "$now" ] && [ "$now" != "$1" ] && answers
}

no_job() {
    ! launchctl print "$job" > /dev/null 2>&1
}

# The daemon dies without a word, and there is another.
kill_daemon() {
    local before
    if [ -n "$installed" ]; then
        before=$(job_pid)
        launchctl kill KILL "$job" || fail "launchctl does not kill the job" || return
        within 60 another_than "$before" || fail "launchd has not started iscsid again within 60 s"
    else
        stop_daemon KILL
        start_daemon
    fi
}

# As an upgrade does it: the daemon is told to end, and when it has ended, there is another.
upgrade_daemon() {
    if [ -n "$installed" ]; then
        # It returns early where the end takes its time.
        launchctl bootout "$job"
        within 90 no_job || fail "the job has not ended within 90 s" || return
        launchctl bootstrap system "$plist" || fail "launchctl does not start the job" || return
        within 60 answers || fail "iscsid does not answer within 60 s"
    else
        stop_daemon TERM
        start_daemon
    fi
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

# What the practice target answers.
ask() {
    local lines
    lines=$(wc -l < "$work/practice.says")
    echo "$*" >&5
    within 60 answered "$lines" || return 1
    tail -1 "$work/practice.says"
}

# A counter of the practice target.
count() {
    ask counts | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"
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

need_practice() {
    [ "$target" = "$practice" ] || skip "only with the practice target"
}

need_job() {
    [ -n "$installed" ] || skip "only with --packages, under launchd"
}

intact() {
    [ "$(sum_of "$volume/data")" = "$written" ]
}

# Writes for a while, in the background.
start_writer() {
    dd if=/dev/urandom of="$volume/load" bs=65536 count=$((mebibytes * 4)) 2> "$work/load" &
    writer=$!
}

writer_has_ended() {
    ! kill -0 "$writer" 2>/dev/null
}

# seconds: it has written everything by then.
finish_writer() {
    local code=0
    within "$1" writer_has_ended || fail "a write hangs: it has not ended within $1 s" || return
    wait "$writer" || code=$?
    writer=''
    [ $code = 0 ] || fail "a write has failed: $(tail -1 "$work/load")"
}

# The processes that hold disk images: number, group.
image_processes() {
    ps -axwwo pid,pgid,command | awk '/diskimages-helper|diskimagesiod|DiskImages2/ && !/awk/ { print $1, $2 }'
}

# Owner and mode of what other programs share with us.
shared_directories() {
    local one
    for one in bin etc share share/man; do
        # shellcheck disable=SC2012 # stat(1) of macOS and of others have nothing in common.
        [ ! -d "$root/usr/local/$one" ] || ls -ld "$root/usr/local/$one" | awk '{ print $1, $3, $4, $NF }'
    done
}

step_install() {
    local before line
    [ -n "$packages" ] || skip "no --packages" || return
    before=$(shared_directories)
    installer -pkg "$packages/Installer.pkg" -target / || fail "installer refuses: /var/log/install.log says why" || return
    installed=yes bin=$root/usr/local/bin daemon_log=$root/Library/Logs/iscsid.log
    within 30 answers || fail "the installed iscsid does not answer" || return
    man -w 8 iscsictl || fail "there is no manual page" || return
    # Directories that are new are nobody else's.
    shared_directories > "$work/after"
    while IFS= read -r line; do
        [ -z "$line" ] || grep -Fxq "$line" "$work/after" || fail "a directory of others has another owner or mode now; it was: $line" || return
    done <<< "$before"
}

step_selftest() {
    "$bin/iscsictl" selftest
}

step_daemon() {
    if [ -n "$installed" ]; then
        [ -n "$(job_pid)" ] || fail "launchd has no process of $job" || return
        why="under launchd, process $(job_pid)"
        return
    fi
    mkdir -p "$run"
    start_daemon
}

step_doctor() {
    "$bin/iscsictl" --help | grep -q '^  doctor' || skip "this iscsictl has no doctor" || return
    ctl doctor
}

# Nothing is attached yet.
step_answers() {
    capture sw_vers
    capture sysctl hw.model hw.memsize kern.osversion
    capture launchctl print "$job"
    capture ls -ld "$root/var/run/iscsid"
    capture hdiutil info -plist
    capture diskutil list -plist
    capture mount
    capture nfsstat -c
    # By it a shutdown is told from a restart of the job.
    sysctl -n kern.willshutdown || fail "sysctl does not tell kern.willshutdown: a shutdown cannot be told from a restart"
}

# Whether a list of images can be cut short while others come and go.
step_lists() {
    local one most=0 least=1000000 now disks=''
    for one in 1 2 3 4; do
        hdiutil attach -nomount ram://65536 > "$work/ram$one" 2>&1 &
    done
    for one in 1 2 3 4 5 6 7 8 9 10; do
        hdiutil info -plist > "$work/list" 2>&1
        now=$(grep -c '<key>image-path</key>' "$work/list")
        [ "$now" -ge "$least" ] || least=$now
        [ "$now" -le "$most" ] || most=$now
    done
    # Not the daemon, which may be a child as well.
    for one in 1 2 3 4; do
        within "$patience" grep -q '/dev/' "$work/ram$one" || fail "hdiutil does not attach a disk in memory: $(head -1 "$work/ram$one")" || return
        disks="$disks $(awk '{ print $1; exit }' "$work/ram$one")"
    done
    capture hdiutil info -plist
    for one in $disks; do hdiutil detach "$one" || diskutil eject "$one"; done
    why="while four came, a list had $least to $most images"
}

# An image of a file of this Mac: what the answers are like, and whether the pipe ends before the image does.
step_image() {
    local begin=$SECONDS disk
    dd if=/dev/zero of="$work/image" bs=1048576 count=4 || return
    # shellcheck disable=SC2016 # The other shell has the file.
    bounded $((patience * 2)) bash -c 'hdiutil attach -plist -nomount -noverify -imagekey diskimage-class=CRawDiskImage "$1" | cat' attach "$work/image" > "$work/attached" 2>&1 ||
        fail "hdiutil does not attach a file, or its output does not end: $(head -1 "$work/attached")" || return
    why="hdiutil's output ended after $((SECONDS - begin)) s"
    { printf '\n$ hdiutil attach -plist -nomount -noverify -imagekey diskimage-class=CRawDiskImage FILE\n' && cat "$work/attached"; } >> "$work/captures"
    disk=$(plist_value dev-entry < "$work/attached")
    [ -n "$disk" ] || fail "hdiutil names no device" || return
    capture diskutil info -plist "$disk"
    # Which of the two works is another on each macOS.
    capture hdiutil detach "$disk"
    capture diskutil eject "$disk"
    capture diskutil image attach --plist --noMount "$work/image"
    disk=$(plist_value dev-entry < "$work/answer")
    [ -z "$disk" ] || capture diskutil eject "$disk"
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
    capture hdiutil info -plist
    capture diskutil list -plist
    capture mount
    diskutil info "$device" || return
    why=$device
}

# Who holds the disk image, and whether launchd ends him with the job: launchd.plist(5), AbandonProcessGroup.
step_helper() {
    local group
    need_disk && need_job || return
    # What else runs here is nobody's business.
    ps -axwwo pid,ppid,pgid,user,command | awk 'NR == 1 || (/diskimages|DiskImages|hdi|iscsid/ && !/awk/)' > "$work/processes"
    capture cat "$work/processes"
    group=$(ps -o pgid= -p "$(job_pid)" | tr -d ' ')
    [ -n "$group" ] || fail "ps does not know the process of the job" || return
    image_processes > "$work/images"
    if awk -v group="$group" '$2 == group { found = 1 } END { exit !found }' "$work/images"; then
        fail "the process that holds the disk image is of the job's process group: where launchd ends that group, the disk goes with the daemon"
        return
    fi
    why="$(wc -l < "$work/images" | tr -d ' ') processes hold disk images, none in the group of the job"
}

step_format() {
    need_disk || return
    format "$device" "$volume_name" || fail "diskutil does not format $device" || return
    volume=$volumes/$volume_name
    # Physical and synthesized disks, in the order of this Mac.
    capture hdiutil info -plist
    capture diskutil list -plist
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

# Ten times: when F_FULLFSYNC has returned, the target has the very bytes, and would have them after a power cut.
step_fullfsync() {
    local round marker held before flushes fua
    need_volume || return
    need_practice || return
    before=$(count synchronize_cache) fua=$(count fua_writes)
    [ -n "$before" ] && [ -n "$fua" ] || fail "the practice target does not answer" || return
    for round in 1 2 3 4 5 6 7 8 9 10; do
        marker=$(od -An -tx1 -N16 /dev/urandom | tr -d ' \n')
        # fcntl F_FULLFSYNC is 51 on macOS.
        perl -e 'open(my $f, "+>", $ARGV[0]) or die "$ARGV[0]: $!\n"; print $f pack("H*", $ARGV[1]) x 256; $f->flush; fcntl($f, 51, 0) or die "F_FULLFSYNC: $!\n"' \
            "$volume/sync$round" "$marker" || fail "F_FULLFSYNC fails" || return
        held=$(ask "holds $marker")
        case $held in
        *'"holds":true,"stable":true'*) ;;
        *'"holds":true'*) fail "F_FULLFSYNC has returned, and the target has the data in its volatile cache only: a power cut loses it (round $round)" || return ;;
        *'"holds":false'*) fail "F_FULLFSYNC has returned, and the data has not reached the target: it is lost when this Mac fails (round $round)" || return ;;
        *) fail "the practice target does not answer" || return ;;
        esac
    done
    flushes=$(($(count synchronize_cache) - before)) fua=$(($(count fua_writes) - fua))
    why="10 of 10 on stable storage, by $flushes SYNCHRONIZE CACHE and $fua writes with FUA"
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

# Nobody but a person may take the disk away: it is the same one, with the same process behind it.
same_disk() {
    within 60 has_device "$target" || fail "the disk is not there under the new daemon" || return
    [ "$(device_of "$target")" = "$device" ] || fail "the disk was $device and is $(device_of "$target") now: it went away in between" || return
    within 60 mounted "$volume_name" || fail "the volume is not mounted under the new daemon" || return
    intact || fail "what was written before is damaged"
}

step_kill() {
    local disk one
    need_volume || return
    image_processes > "$work/images"
    start_writer
    sleep 2
    kill_daemon || return
    finish_writer 240 || return
    if [ -n "$installed" ]; then
        image_processes > "$work/images-now"
        while read -r one _; do
            [ -z "$one" ] || grep -q "^$one " "$work/images-now" || fail "process $one, which held a disk image, has ended with the job" || return
        done < "$work/images"
        same_disk || return
    else
        within 60 has_device "$target" || fail "the disk did not come back" || return
        intact || fail "what was written before is damaged" || return
    fi
    disk=$(diskutil info -plist "$volume" | plist_value DeviceNode)
    diskutil unmount "$volume" || return
    fsck_apfs -n "${disk:-$device}" || fail "fsck_apfs finds faults" || return
    diskutil mount "${disk:-$device}" && within 30 mounted "$volume_name" && intact
}

step_restart() {
    local before
    need_volume || return
    need_job || return
    ctl modify target "$target" --auto-login yes || return
    before=$(job_pid)
    start_writer
    sleep 2
    launchctl kickstart -k "$job" || fail "launchctl does not restart the job" || return
    within 90 another_than "$before" || fail "launchd has not started iscsid again within 90 s" || return
    finish_writer 240 || return
    same_disk
}

step_upgrade() {
    need_volume || return
    # A daemon that is told to end logs out of what is not in use, and the next one logs in to what it is to log in to.
    ctl modify target "$target" --auto-login yes || return
    exec 7< "$volume/data"
    upgrade_daemon
    local status=$?
    exec 7<&-
    [ $status = 0 ] || return 1
    within 60 has_device "$target" || fail "the disk is not there under the new daemon" || return
    within 60 mounted "$volume_name" || fail "the volume is not mounted under the new daemon" || return
    intact || fail "what was written before is damaged"
}

# macOS offers its user to disconnect a server that does not answer, and with it goes the disk.
step_silent() {
    need_volume || return
    need_practice || return
    start_writer
    kill -STOP "$practice_pid"
    sleep "$silence"
    kill -CONT "$practice_pid"
    finish_writer 240 || return
    intact || fail "what was written before is damaged" || return
    log show --last 5m --style compact --predicate 'eventMessage CONTAINS "not responding" OR eventMessage CONTAINS "jukebox" OR eventMessage CONTAINS "can not connect" OR eventMessage CONTAINS "busy timeout"' > "$work/system-log" 2>&1
    capture cat "$work/system-log"
    ! grep -E 'not responding|can not connect' "$work/system-log" | grep -i iscsid ||
        fail "macOS has told its user that the server does not answer, and offers to disconnect it"
}

# A stream, and 512 writes of 4 KiB into the midst of what no cache has: how fast, and what the client and the target count.
measure() {
    local before rate name=$1
    capture nfsstat -m
    nfsstat -z
    dd if=/dev/zero of="$volume/stream" bs=1048576 count=$((mebibytes / 4 + 1)) 2> "$work/stream" || return
    sync
    capture nfsstat -c
    rate=$(tail -1 "$work/stream" | sed 's/.*, *//; s/.*(\([0-9]*\) bytes\/sec).*/\1 bytes\/s/')
    purge
    nfsstat -z
    before=$(count write_bytes 2>/dev/null)
    perl -e 'open(my $f, "+<", $ARGV[0]) or die "$!\n"; my $n = int((-s $f) / 4096); for (1 .. 512) { sysseek($f, 4096 * int(rand($n)), 0); syswrite($f, "r" x 4096) or die "$!\n" } fcntl($f, 51, 0)' "$volume/stream" || return
    capture nfsstat -c
    why="$why${why:+; }$name: $rate"
    if [ "$target" = "$practice" ]; then
        why="$why, 2 MiB in pieces made $((($(count write_bytes) - before) / 1024)) KiB of writes"
    fi
    if command -v fio > /dev/null; then
        for rw in write randwrite randread; do
            capture fio --name="$rw" --filename="$volume/fio" --size=$((mebibytes / 4 + 1))m --rw=$rw --bs=4k --iodepth=16 --runtime=20 --time_based --output-format=terse
        done
    fi
    rm -f "$volume/stream" "$volume/fio"
}

# The job with another block of NFS, in KiB; empty gives the job back as it was installed.
with_block() {
    ctl logout "$target" || fail "the logout failed" || return
    logged_in=''
    cp "$work/job.plist" "$plist" || return
    if [ -n "$1" ]; then
        sed "s,<string>/usr/local/libexec/iscsid</string>,&<string>--nfs-block</string><string>$1</string>," "$work/job.plist" > "$plist" || return
        grep -q "<string>--nfs-block</string><string>$1</string>" "$plist" || fail "$plist does not name the program as expected" || return
    fi
    upgrade_daemon || return
    # It is logged in to automatically since the restarts above, or now.
    within 10 has_device "$target" || ctl login "$target" || return
    logged_in=yes
    within "$patience" has_device "$target" || fail "no device within $patience s" || return
    device=$(device_of "$target")
    within 60 mounted "$volume_name" || fail "the volume is not mounted" || return
    intact || fail "what was written before is damaged"
}

step_sizes() {
    local block reason
    need_volume || return
    if [ -z "$installed" ]; then
        measure "as it is"
        return
    fi
    cp "$plist" "$work/job.plist" || return
    for block in 16 64 128 1024; do
        if ! with_block "$block" || ! measure "$block KiB"; then
            reason="with blocks of $block KiB: $why"
            with_block ''
            fail "$reason"
            return
        fi
    done
    with_block ''
}

under_pressure() {
    # 2 is a warning, 4 critical.
    [ "$(sysctl -n kern.memorystatus_vm_pressure_level)" -ge 2 ]
}

step_pressure() {
    local pressure
    need_volume || return
    [ "$spare" = yes ] || skip "no --spare-mac" || return
    memory_pressure -l critical > "$work/pressure" 2>&1 &
    pressure=$!
    within 120 under_pressure
    local reached=$? status=0
    start_writer
    finish_writer 600 || status=1
    kill "$pressure" 2>/dev/null
    wait "$pressure" 2>/dev/null
    [ $status = 0 ] || return 1
    [ $reached = 0 ] || why="memory_pressure has made no pressure: nothing is proven"
    intact || fail "what was written before is damaged"
}

# A secret that one build has put away, and another has to read.
step_keychain() {
    local other=iqn.2026-11.org.iscsid.practice:secret said before code=0 program=$root/usr/local/libexec/iscsid
    need_job || return
    ! codesign -d -v "$program" 2>&1 | grep 'TeamIdentifier=' | grep -qv 'not set' || skip "this build is signed by a team" || return
    # Nobody listens there.
    ctl add target "$other" --portal 127.0.0.1:9 || return
    echo "sixteen-letters-" | ctl modify target "$other" --chap-name me --chap-secret=- || fail "the secret is not kept" || return
    codesign --force --sign - "$program" || fail "codesign does not sign $program" || return
    before=$(job_pid)
    launchctl kickstart -k "$job"
    within 90 another_than "$before" || fail "launchd has not started iscsid again within 90 s" || return
    said=$(ctl login "$other" 2>&1) || code=$?
    echo "$said"
    capture tail -20 "$daemon_log"
    # 69: it had what it takes, and nobody was there.
    [ $code = 69 ] || fail "after another signature a login ends with $code: $said" || return
    ctl modify target "$other" --chap-name another || fail "after another signature the settings cannot be changed" || return
    ctl remove target "$other"
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

# A blank unit, with large blocks, and tools that speak German: nothing hangs on their words.
step_blank() {
    local first=$practice_pid disk size
    need_practice || return
    [ -z "$logged_in" ] || ctl logout "$target" || fail "the logout failed" || return
    logged_in='' volume='' device=''
    ctl remove target "$target" || return
    defaults export /Library/Preferences/.GlobalPreferences "$work/language.plist" && language=changed
    defaults write /Library/Preferences/.GlobalPreferences AppleLanguages -array de
    if [ -n "$installed" ]; then upgrade_daemon || return; fi
    start_practice practice4k --mebibytes 512 --block-size 4096 || return
    practice_4k_pid=$practice_pid practice_pid=$first
    ctl add target "$practice" --portal "$(portal_of practice4k)" && ctl login "$practice" || return
    logged_in=yes
    within "$patience" has_device "$practice" || fail "no device within $patience s: $(ctl list luns 2>&1 | tr '\n' ' ')" || return
    disk=$(device_of "$practice")
    capture diskutil info "$disk"
    size=$(diskutil info -plist "$disk" | plist_value DeviceBlockSize)
    [ "$size" = 4096 ] || fail "the disk has blocks of ${size:-unknown} bytes, not of 4096" || return
    device=$disk
}

give_language_back() {
    [ -n "$language" ] || return 0
    defaults import /Library/Preferences/.GlobalPreferences "$work/language.plist" && language=''
}

erase_has_ended() {
    ! kill -0 "$erasing" 2>/dev/null
}

# While a medium is looked at, macOS waits for it, and panics after a minute or two: whoever asks has to get an error.
step_silent_format() {
    local erasing ended=0
    need_disk || return
    [ -n "$practice_4k_pid" ] || skip "only with the practice target" || return
    [ "$spare" = yes ] || skip "no --spare-mac" || return
    kill -STOP "$practice_4k_pid"
    diskutil eraseDisk APFS "$volume_name-silent" "$device" > "$work/erase" 2>&1 &
    erasing=$!
    within $((patience * 4)) erase_has_ended || ended=1
    kill -CONT "$practice_4k_pid"
    capture cat "$work/erase"
    [ $ended = 0 ] || { kill "$erasing" 2>/dev/null; fail "$((patience * 4)) s after the target fell silent diskutil still waits for it"; } || return
    within 60 diskutil info "$device"
}

step_format_4k() {
    need_disk || return
    [ -n "$practice_4k_pid" ] || skip "only with the practice target" || return
    format "$device" "$volume_name-4k" || fail "diskutil does not format $device" || return
    dd if=/dev/urandom of="$volumes/$volume_name-4k/data" bs=1048576 count=16 && sync
}

step_kext() {
    kmutil showloaded --list-only --bundle-identifier org.iscsid.iscsi 2>/dev/null | grep -q org.iscsid.iscsi ||
        skip "the kernel extension is not loaded" || return
    [ -z "$installed" ] || skip "only without --packages: the job takes no options" || return
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
    capture hdiutil info -plist
    capture mount
    ! has_device "$target" || fail "the disk is still there" || return
    ! mount | grep "$root/var/run/iscsid/" || fail "what the disk was made of is still mounted" || return
    ctl remove target "$target"
}

step_uninstall() {
    local settings="$root/Library/Application Support/iscsid" before
    [ -n "$installed" ] || skip "nothing was installed" || return
    before=$(ls -lR "$settings" 2>/dev/null)
    installer -pkg "$packages/Uninstall.pkg" -target / || fail "installer refuses: /var/log/install.log says why" || return
    installed=''
    [ ! -e "$root/usr/local/libexec/iscsid" ] && [ ! -e "$plist" ] || fail "files are left" || return
    no_job || fail "the job is still there" || return
    [ "$(ls -lR "$settings" 2>/dev/null)" = "$before" ] || fail "the settings have changed"
}

clean_up() {
    # Removes what is left. No verdict depends on it.
    [ -z "$writer" ] || kill "$writer" 2>/dev/null
    for one in "$practice_pid" "$practice_4k_pid"; do
        [ -z "$one" ] || kill -CONT "$one" 2>/dev/null
    done
    [ -z "$logged_in" ] || ctl logout --all --force > /dev/null 2>&1
    give_language_back
    [ -z "$installed" ] || installer -pkg "$packages/Uninstall.pkg" -target / > /dev/null 2>&1
    stop_daemon TERM
    exec 5>&- 6>&-
    [ -z "$practice_pid" ] || kill "$practice_pid" 2>/dev/null
    [ -z "$practice_4k_pid" ] || kill "$practice_4k_pid" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

: > "$report" || usage "the report $report cannot be written"
: > "$work/captures"
say "iscsid acceptance, $(date -u '+%Y-%m-%d %H:%M UTC')"
say "macOS $(sw_vers -productVersion) ($(sw_vers -buildVersion)), $(uname -m); $(csrutil status | head -1)"
step "install: Installer.pkg" step_install
say "$("$bin/iscsictl" --version 2>&1 | head -1)"
step "selftest: the main job inside the process" step_selftest
step "daemon: it runs and answers" step_daemon
step "doctor: nothing is missing" step_doctor
step "what this Mac answers" step_answers
step "the list of disk images while others come and go" step_lists
step "an image of a file, and its pipe" step_image
step "target" step_target
step "login" step_login
step "attach: a disk in Finder" step_attach
step "the process behind the disk outlives the job" step_helper
step "format: APFS" step_format
step "copy $mebibytes MiB and verify" step_copy
step "kill -9 under load, then fsck_apfs" step_kill
step "restart of the job under a busy volume" step_restart
step "upgrade: another daemon under a mounted volume" step_upgrade
step "F_FULLFSYNC: the target has the bytes" step_fullfsync
step "logout refuses while a file is open" step_busy
step "a target that is silent for $silence s" step_silent
step "what the block of NFS costs" step_sizes
step "memory that runs out" step_pressure
step "another signature, and a secret" step_keychain
step "sleep and wake" step_sleep
step "a blank unit with blocks of 4096 bytes, in German" step_blank
step "a target that falls silent while its disk is formatted" step_silent_format
step "format: APFS on blocks of 4096 bytes" step_format_4k
give_language_back
step "the kernel extension" step_kext
step "logout: the disk goes" step_logout
cp "$daemon_log" "$work/last.log" 2>/dev/null
step "uninstall: Uninstall.pkg" step_uninstall
{
    echo
    echo "The daemon's log:"
    tail -200 "$work/last.log" 2>/dev/null
    echo
    echo "What the tools of this Mac have answered:"
    cat "$work/captures"
} >> "$report"
say ""
say "$passed passed, $failed failed, $skipped skipped. Please send $report to https://github.com/iscsid/iscsid/issues"
[ $failed = 0 ]
