#!/bin/bash
# Loads the extension for a test, and starts the daemon beside it. Undone by unload.sh.
#
#   sudo ./load.sh [build/iscsi.kext] [path of iscsid]
#
# Needs a Mac that loads extensions nobody has notarised: docs/kernel-extension.md says what that means.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
kext=${1:-$here/../target/kext/iscsi.kext}
daemon=${2:-$here/../target/release/iscsid}
# Where unload.sh finds what to undo.
state=/var/run/iscsid-test
label=org.iscsid.test
plist=/Library/LaunchDaemons/$label.plist

fail() {
    echo "load.sh: $1" >&2
    exit 1
}

[ "$(uname -s)" = Darwin ] || fail "this is for macOS; elsewhere 'make test-kext' runs the extension's sources in a harness"
[ "$(id -u)" = 0 ] || fail "only root may load extensions; run it with sudo"
[ -d "$kext" ] || fail "there is no extension at $kext; 'make -C kext-shim' builds it"
[ -x "$daemon" ] || fail "there is no daemon at $daemon; 'make build' builds it"
[ ! -e "$state" ] || fail "it is loaded already; run unload.sh first"

# The loader wants all of it to be root's, and writable for nobody else: not so in a working copy.
mkdir -m 0755 "$state"
trap 'status=$?; [ $status = 0 ] || "$here/unload.sh" || true; exit $status' EXIT
cp -R "$kext" "$state/iscsi.kext"
chown -R root:wheel "$state/iscsi.kext"
chmod -R go-w,a+rX "$state/iscsi.kext"
xattr -cr "$state/iscsi.kext"

if command -v kmutil >/dev/null; then
    kmutil load -p "$state/iscsi.kext"
else
    kextload "$state/iscsi.kext"
fi

install -o root -g wheel -m 0755 "$daemon" "$state/iscsid"
ln -sf iscsid "$state/iscsictl"
cat > "$plist" <<EOF
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key><string>$label</string>
	<key>ProgramArguments</key>
	<array>
		<string>$state/iscsid</string>
		<string>--bridge</string><string>kext</string>
		<string>--config</string><string>$state/iscsid.plist</string>
		<string>--runtime-dir</string><string>$state</string>
	</array>
	<key>RunAtLoad</key><true/>
	<key>StandardErrorPath</key><string>$state/iscsid.log</string>
</dict>
</plist>
EOF
chown root:wheel "$plist"
chmod 0644 "$plist"
launchctl bootstrap system "$plist"

echo "Loaded. Use it with: sudo ISCSID_RUNTIME_DIR=$state $state/iscsictl …"
echo "Its log is $state/iscsid.log; undo all of it with: sudo $here/unload.sh"
