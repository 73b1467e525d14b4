# What the scripts of both packages share. Installer runs them as root with /usr/bin:/bin:/usr/sbin:/sbin, and the
# third argument is the volume: / on a Mac, a directory in the tests.
# shellcheck shell=bash disable=SC2034

root=${3:-/}
root=${root%/}

label=org.iscsid.iscsid
job=$root/Library/LaunchDaemons/$label.plist
bundle=org.iscsid.iscsi
share=$root/usr/local/share/iscsid
# The receipt: what the package put here, and which directories it had to make for that.
files=$share/files
directories=$share/directories

# iSCSIInitiator for macOS, which came before us and has the same names in the same places.
old_label=com.github.iscsi-osx.iscsid
old_job=$root/Library/LaunchDaemons/$old_label.plist
old_bundle=com.github.iscsi-osx.iSCSIInitiator
old_kext=$root/Library/Extensions/iSCSIInitiator.kext

say() {
    echo "iscsid: $*"
}

fail() {
    echo "iscsid: $*" >&2
    exit 1
}

# Whether the iscsictl that is here is ours. iscsi-osx's is no link.
ours() {
    [ "$(readlink "$root/usr/local/bin/iscsictl" 2>/dev/null)" = ../libexec/iscsid ]
}

# The targets that are connected, a name a line. Fails where that cannot be told.
connected() {
    local ctl=$root/usr/local/bin/iscsictl answer status=0
    [ -x "$ctl" ] || return 0
    if ours; then
        answer=$("$ctl" list sessions --format json 2>&1) || status=$?
        # EX_UNAVAILABLE: there is no daemon, and so no session.
        [ $status != 69 ] || return 0
        if [ $status != 0 ]; then
            echo "$answer" >&2
            return 1
        fi
        printf '%s\n' "$answer" | grep -o '"target": *"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/' | sort -u
    elif runs "$old_label"; then
        "$ctl" list targets 2>/dev/null | sed -n 's/^\([^[:space:]]*\) <active,.*/\1/p' | sort -u
    fi
    return 0
}

refuse_while_connected() {
    local names
    names=$(connected) || fail "iscsictl does not say which targets are connected, so nothing was changed; see its message above"
    [ -z "$names" ] || fail "these targets are connected: $(printf '%s' "$names" | tr '\n' ' '); log out of them first: sudo iscsictl logout --all"
}

runs() {
    launchctl print "system/$1" >/dev/null 2>&1
}

# launchctl comes back before the process has ended: the daemon logs out first.
stop() {
    local tries
    runs "$1" || return 0
    launchctl bootout "system/$1" 2>/dev/null || true
    for ((tries = 0; tries < 200; tries++)); do
        runs "$1" || return 0
        sleep 0.1
    done
    return 1
}

kext_is_loaded() {
    if command -v kmutil >/dev/null; then
        kmutil showloaded --list-only --bundle-identifier "$1" 2>/dev/null | grep -q "$1"
    else
        kextstat -l -b "$1" 2>/dev/null | grep -q "$1"
    fi
}

unload_kext() {
    kext_is_loaded "$1" || return 0
    if command -v kmutil >/dev/null; then
        kmutil unload -b "$1"
    else
        kextunload -b "$1"
    fi
}
