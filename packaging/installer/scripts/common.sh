# What the scripts of both packages share. Installer runs them as root with /usr/bin:/bin:/usr/sbin:/sbin, and the
# third argument is the volume: / on a Mac, a directory in the tests.
# shellcheck shell=bash disable=SC2034

root=${3:-/}
root=${root%/}

label=org.iscsid.iscsid
job=$root/Library/LaunchDaemons/$label.plist
bundle=org.iscsid.iscsi
# The program itself, and not the link to it: Homebrew on Intel gives /usr/local/bin to a user, and these scripts are root's.
program=$root/usr/local/libexec/iscsid
# The receipt: what the package put here, and which directories it had to make for that. Where only root writes, because
# scripts of root go by it.
receipt=$root/Library/Application\ Support/iscsid-installer
files=$receipt/files
directories=$receipt/directories

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

# Whether nobody but root may change what is there: neither it nor a directory above it belongs to another, may be written to
# by another, or is a link. (`ls` says it in the same columns on every system, `stat` does not.)
trusted() {
    local path=$1 mode links owner rest
    while :; do
        read -r mode links owner rest < <(LC_ALL=C ls -ldn "$path" 2>/dev/null) || return 1
        [ "$owner" = "$(id -u)" ] || return 1
        case $mode in
        l* | ?????w* | ????????w*) return 1 ;;
        esac
        [ "$path" != "${root:-/}" ] || return 0
        path=$(dirname "$path")
    done
}

# What is there already of the way to the program, for a refusal before anything is changed.
refuse_where_others_write() {
    local path=$program
    while [ ! -e "$path" ] && [ ! -h "$path" ]; do
        path=$(dirname "$path")
    done
    trusted "$path" || fail "$path, or a directory above it, belongs to another than root, or others may write to it; what is installed there runs as root, so they would be root: sudo chown root:wheel, and chmod go-w, /usr/local, /usr/local/libexec and what is in it"
}

# Whether a version of this package may have put something there. A list that somebody has planted gets nothing else removed.
is_ours() {
    case /$1/ in
    */../* | */./* | *//*) return 1 ;;
    esac
    case $1 in
    usr/local/libexec/iscsid | usr/local/bin/iscsictl) ;;
    usr/local/share/man/man5/iscsid.plist.5 | usr/local/share/man/man8/iscsid.8 | usr/local/share/man/man8/iscsictl.8) ;;
    usr/local/share/zsh/site-functions/_iscsictl | usr/local/etc/bash_completion.d/iscsictl) ;;
    usr/local/share/fish/vendor_completions.d/iscsictl.fish | usr/local/share/fish/vendor_completions.d/iscsid.fish) ;;
    usr/local/share/iscsid/*) ;;
    Library/LaunchDaemons/org.iscsid.iscsid.plist | Library/Extensions/iscsi.kext/*) ;;
    private/etc/newsyslog.d/org.iscsid.iscsid.conf) ;;
    *) return 1 ;;
    esac
}

# Whether a directory on the way there is a link: what is removed behind it would be somewhere else.
behind_a_link() {
    local path
    path=$(dirname "$1")
    while [ "$path" != . ]; do
        [ ! -h "$root/$path" ] || return 0
        path=$(dirname "$path")
    done
    return 1
}

# Removes a file of ours, by its path without the leading slash; says so where it is none.
remove() {
    if ! is_ours "$1" || behind_a_link "$1"; then
        say "/$1 stays: it is nothing that this package put there"
        return 0
    fi
    rm -f "$root/$1"
}

# Whether the iscsictl that is here is ours. iscsi-osx's is no link.
ours() {
    [ "$(readlink "$root/usr/local/bin/iscsictl" 2>/dev/null)" = ../libexec/iscsid ]
}

# The targets that are connected, a name a line. Fails where that cannot be told.
connected() {
    local ctl=$root/usr/local/bin/iscsictl answer status=0
    if ours || runs "$label"; then
        [ -x "$program" ] || return 0
        if ! trusted "$program"; then
            echo "iscsid: $program is not run, because others than root may change it" >&2
            return 1
        fi
        answer=$("$program" ctl list sessions --format json 2>&1) || status=$?
        # EX_UNAVAILABLE: there is no daemon, and so no session.
        [ $status != 69 ] || return 0
        if [ $status != 0 ]; then
            echo "$answer" >&2
            return 1
        fi
        printf '%s\n' "$answer" | grep -o '"target": *"[^"]*"' | sed 's/.*"\([^"]*\)"$/\1/' | sort -u
    elif [ -x "$ctl" ] && runs "$old_label"; then
        if ! trusted "$ctl"; then
            echo "iscsid: $ctl is not run, because others than root may change it. Log out of all targets with it yourself, then: sudo launchctl bootout system/$old_label" >&2
            return 1
        fi
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
