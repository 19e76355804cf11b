# bash completion for hook-runner. Load it with: source <(hook-runner completions bash)
_hook_runner() {
    local current="${COMP_WORDS[COMP_CWORD]}" kind candidate candidates=()
    COMPREPLY=()
    # bash makes a word of its own of the `=` in --option=value.
    [[ $current == "=" ]] && current=""
    {
        IFS= read -r kind
        while IFS= read -r candidate; do candidates+=("${candidate%%$'\t'*}"); done
    } < <("${1:-hook-runner}" complete "$COMP_CWORD" -- "${COMP_WORDS[@]}" 2>/dev/null)
    case $kind in
        files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
        directories) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
        command) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -c -f -- "$current") ;;
        words)
            for candidate in "${candidates[@]}"; do
                [[ $candidate == "$current"* ]] && COMPREPLY+=("$candidate")
            done
            ;;
    esac
}
complete -F _hook_runner hook-runner
