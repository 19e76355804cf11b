# fish completion for hook-runner. Load it with: hook-runner completions fish | source
function __hook_runner_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc) $current
    set -l cursor (math (count $words) - 1)
    set -l lines (command $words[1] complete $cursor -- $words 2>/dev/null)
    set -l option (string match -r -- '^--[^=]*=' $current)
    set -l value (string replace -r -- '^--[^=]*=' '' $current)
    switch "$lines[1]"
        case files
            for path in (__fish_complete_path $value)
                echo "$option$path"
            end
        case directories
            for path in (__fish_complete_directories $value '')
                echo "$option$path"
            end
        case command
            __fish_complete_subcommand --fcs-skip=(math (contains -i -- -- $words))
        case words
            string join \n -- $lines[2..-1]
    end
end
complete -c hook-runner -f -a '(__hook_runner_complete)'
