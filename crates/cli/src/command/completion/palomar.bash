# Completion of palomar for bash 3.2 and later. The program itself knows all words: this script
# passes the line on and hands the answer over.

__palomar_complete() {
    # bash splits words at = and : as well; the program wants them as they were typed. What stands
    # behind the cursor does not count.
    local line=${COMP_LINE:0:COMP_POINT} words=() index part
    for ((index = 0; index <= COMP_CWORD; index++)); do
        part=${COMP_WORDS[index]}
        if ((index == 0)) || [[ $line == [[:blank:]]* ]]; then
            line=${line#"${line%%[![:blank:]]*}"}
            words+=("")
        fi
        if ((index == COMP_CWORD)); then
            part=$line
        fi
        line=${line#"$part"}
        words[${#words[@]} - 1]+=$part
    done
    local typed=${words[${#words[@]} - 1]}
    for index in "${!words[@]}"; do
        part=${words[index]}
        words[index]=${part//[\"\'\\]/}
    done

    # An alias is no program: the one that it most likely stands for is asked then.
    local program=${words[0]/#\~/$HOME} answer directive word
    if [[ $(type -t "$program") == alias ]]; then
        program=palomar
    fi
    answer=$("$program" __complete "${words[@]:1}" 2>/dev/null) || return 0
    directive=${answer##*:}

    # Only the part behind the last = or : is replaced.
    local kept=${typed%"$2"}
    COMPREPLY=()
    while IFS= read -r word; do
        case $word in
        "" | :*) continue ;;
        esac
        word=${word%%$'\t'*}
        COMPREPLY+=("${word:${#kept}}")
    done <<<"$answer"

    if [[ $(type -t compopt) == builtin ]]; then
        if ((directive & 2)); then
            compopt -o nospace
        fi
        if ((directive & 4)); then
            compopt +o bashdefault +o default
        fi
    fi
    return 0
}

complete -o bashdefault -o default -F __palomar_complete palomar
