#compdef palomar
# Completion of palomar for zsh. The program itself knows all words: this script passes the line on
# and hands the answer over.

__palomar_complete() {
    local answer line word directive
    local -a described options
    answer=$("${(@Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null) || return 1
    directive=${answer##*:}
    for line in "${(@f)answer}"; do
        [[ -z $line || $line == :* ]] && continue
        word=${line%%$'\t'*}
        # A colon parts the word from what is said of it.
        word=${word//:/\\:}
        if [[ $line == *$'\t'* ]]; then
            described+=("$word:${line#*$'\t'}")
        else
            described+=("$word")
        fi
    done
    if (( ${#described} )); then
        if (( directive & 2 )); then
            options=(-S '')
        fi
        _describe -V 'word' described "${options[@]}"
    elif (( ! (directive & 4) )); then
        # Files also behind the = of a flag.
        [[ $PREFIX == --*=* ]] && compset -P '*='
        _files
    fi
}

# As a file in fpath zsh calls the function that the file is named after; sourced, it is told of it.
if [[ ${funcstack[1]} == _palomar ]]; then
    __palomar_complete "$@"
else
    compdef __palomar_complete palomar
fi
