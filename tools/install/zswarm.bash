# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What bash completes for the zswarm programs. Options are read from --help, so they are those of the program that is
# installed; the word behind an option there (FILE, DIR, a|b|c) says what its value is.

# Prints `--name WORD` for each option in a --help on stdin, and `-x WORD` for each letter.
_zswarm_options() {
    local line
    while IFS= read -r line; do
        [[ $line =~ ^' '+(-(.),)?' '*(--[a-z-]+)(' '([^ ]+))?'  ' ]] || continue
        printf '%s %s\n' "${BASH_REMATCH[3]}" "${BASH_REMATCH[5]}"
        [ -n "${BASH_REMATCH[2]}" ] && printf -- '-%s %s\n' "${BASH_REMATCH[2]}" "${BASH_REMATCH[5]}"
    done
}

# _zswarm_values WORD PREFIX: sets COMPREPLY to values of this kind.
_zswarm_values() {
    case $1 in
        *FILE*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$2") ;;
        *DIR*) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$2") ;;
        *'|'*) mapfile -t COMPREPLY < <(compgen -W "$(tr '|' '\n' <<<"$1" | grep -x '[a-z0-9]*')" -- "$2") ;;
        *) COMPREPLY=() ;;
    esac
}

_zswarm() {
    local help option word current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    COMPREPLY=()
    help=$("${COMP_WORDS[0]}" --help 2>/dev/null) || return
    # bash takes --name=value apart at the sign.
    if [ "$current" = = ]; then
        current=
    elif [ "$before" = = ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    while read -r option word; do
        if [ "$option" = "$before" ] && [ -n "$word" ]; then
            _zswarm_values "$word" "$current"
            return
        fi
    done < <(_zswarm_options <<<"$help")
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_zswarm_options <<<"$help" | cut -d' ' -f1)" -- "$current")
    else
        _zswarm_values "$(head -n 1 <<<"$help")" "$current"
    fi
}

complete -F _zswarm zbroker znode zsearch zget zput zls zpeers zhash zstat
