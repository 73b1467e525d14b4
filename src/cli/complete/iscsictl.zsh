#compdef iscsictl iscsid
# Completions of iscsictl and iscsid for zsh: `iscsictl complete` says what may follow.
_iscsictl() {
    local found line
    local -a values shown
    if [[ $service == iscsid ]]; then
        found=$(iscsid ctl complete iscsid -- "${(@)words[2,CURRENT]}" 2> /dev/null)
    else
        found=$(iscsictl complete iscsictl -- "${(@)words[2,CURRENT]}" 2> /dev/null)
    fi
    case $found in
        '') return 1 ;;
        :files) _files; return ;;
        :directories) _files -/; return ;;
    esac
    for line in "${(@f)found}"; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    compadd -l -d shown -a values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _iscsictl "$@"
else
    compdef _iscsictl iscsictl iscsid
fi
