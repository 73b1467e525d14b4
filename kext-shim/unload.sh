#!/bin/bash
# Undoes load.sh: stops the daemon, unloads the extension, removes the copies. As often as one likes.
#
#   sudo ./unload.sh
set -uo pipefail

state=/var/run/iscsid-test
label=org.iscsid.test
plist=/Library/LaunchDaemons/$label.plist
bundle=org.iscsid.iscsi

fail() {
    echo "unload.sh: $1" >&2
    exit 1
}

[ "$(uname -s)" = Darwin ] || fail "this is for macOS"
[ "$(id -u)" = 0 ] || fail "only root may unload extensions; run it with sudo"

if [ -x "$state/iscsictl" ] && [ -S "$state/control.sock" ]; then
    ISCSID_RUNTIME_DIR="$state" "$state/iscsictl" logout --all || fail "a session could not be logged out; are its volumes still mounted?"
fi
if [ -e "$plist" ]; then
    launchctl bootout "system/$label" 2>/dev/null
    rm -f "$plist"
fi
if kmutil showloaded --bundle-identifier "$bundle" 2>/dev/null | grep -q "$bundle"; then
    kmutil unload -b "$bundle" || fail "the extension refuses to go: there are sessions. Log out of them (iscsictl list sessions) and try again"
elif ! command -v kmutil >/dev/null && kextstat -b "$bundle" 2>/dev/null | grep -q "$bundle"; then
    kextunload -b "$bundle" || fail "the extension refuses to go: there are sessions. Log out of them and try again"
fi
rm -rf "$state"
echo "Unloaded."
