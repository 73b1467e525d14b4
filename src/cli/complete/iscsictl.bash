# Completions of iscsictl and iscsid for bash: `iscsictl complete` says what may follow.
_iscsid_words() {
    local line=${COMP_LINE:0:COMP_POINT} current found prefix candidate
    local -a words
    # Bash itself breaks words at colons, and every iSCSI name has one.
    read -ra words <<< "$line"
    case $line in *[[:space:]]) words+=("") ;; esac
    current=${words[${#words[@]}-1]}
    words=("${words[@]:1}")
    COMPREPLY=()
    found=$("$1" ${2:+"$2"} complete "$3" -- "${words[@]}" 2> /dev/null) || return 0
    case $found in
        :files) compopt -o filenames 2> /dev/null; IFS=$'\n' read -rd '' -a COMPREPLY < <(compgen -f -- "$current"); return 0 ;;
        :directories) compopt -o filenames 2> /dev/null; IFS=$'\n' read -rd '' -a COMPREPLY < <(compgen -d -- "$current"); return 0 ;;
    esac
    prefix=
    case $current in *:*) case $COMP_WORDBREAKS in *:*) prefix=${current%"${current##*:}"} ;; esac ;; esac
    while IFS=$'\t' read -r candidate _; do
        [ -z "$candidate" ] || COMPREPLY+=("${candidate#"$prefix"}")
    done <<< "$found"
}
_iscsictl() { _iscsid_words iscsictl "" iscsictl; }
_iscsid() { _iscsid_words iscsid ctl iscsid; }
complete -F _iscsictl iscsictl
complete -F _iscsid iscsid
