#compdef hook-runner
# zsh completion for hook-runner. Load it with: source <(hook-runner completions zsh), after compinit; or put it as
# _hook-runner into a directory of $fpath.
_hook_runner() {
    local kind line
    local -a lines candidates
    lines=("${(@f)$("${words[1]}" complete $((CURRENT - 1)) -- "${(@)words}" 2>/dev/null)}")
    kind=$lines[1]
    case $kind in
        files) compset -P '--*='; _files ;;
        directories) compset -P '--*='; _files -/ ;;
        command)
            while [[ ${words[1]} != -- ]]; do shift words; (( CURRENT-- )); done
            shift words; (( CURRENT-- ))
            _normal
            ;;
        words)
            for line in "${(@)lines[2,-1]}"; do
                candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            _describe -V 'hook-runner' candidates
            ;;
    esac
}
if [[ $funcstack[1] == _hook-runner ]]; then
    _hook_runner "$@"
else
    compdef _hook_runner hook-runner
fi
