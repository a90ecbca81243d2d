# Completion of palomar for fish. The program itself knows all words: this script passes the line on
# and hands the answer over.

function __palomar_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    or return
    set -l directive (string replace -r '^:' '' -- $answer[-1])
    set -e answer[-1]
    if test (count $answer) -gt 0
        printf '%s\n' $answer
    else if test "$directive" = 0
        if string match -qr '^--[^=]*=' -- $current
            set -l flag (string match -r '^--[^=]*=' -- $current)
            set -l path (string replace -r '^--[^=]*=' '' -- $current)
            printf "$flag%s\n" (__fish_complete_path $path)
        else
            __fish_complete_path $current
        end
    end
end

complete -c palomar -f -a '(__palomar_complete)'
