# Completions of iscsictl and iscsid for fish: `iscsictl complete` says what may follow.
function __iscsid_words
    set -l words (commandline -opc) (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l found
    if string match -qr '(^|/)iscsid$' -- $program
        set found (iscsid ctl complete iscsid -- $words 2> /dev/null)
    else
        set found (iscsictl complete iscsictl -- $words 2> /dev/null)
    end
    switch "$found[1]"
        case :files
            __fish_complete_path (commandline -ct)
        case :directories
            __fish_complete_directories (commandline -ct)
        case '*'
            printf '%s\n' $found
    end
end
complete -c iscsictl -f -a '(__iscsid_words)'
complete -c iscsid -f -a '(__iscsid_words)'
