{{/* What the hook does, as copy, wait and command or as steps: each copy and each wait, and further arguments. */}}
{{- define "hook-runner.check-steps" -}}
{{- range .copy -}}
{{- if not (regexMatch "^/[^:]*:/[^:]*$" .) -}}
{{- fail (printf "hook-runner: copy %q is not SOURCE:DESTINATION with absolute paths; write such as /app:/data/content, and a path with a colon as steps: [{copy: {from: /app, to: /data/content}}]" .) -}}
{{- end -}}
{{- end -}}
{{- range .work.copies -}}
{{- if not (and (hasPrefix "/" .from) (hasPrefix "/" .to)) -}}
{{- fail (printf "hook-runner: %s goes from %q to %q, and both are absolute paths; write such as {from: /app, to: /data/content}" .what .from .to) -}}
{{- end -}}
{{- include "hook-runner.on-a-volume" (dict "what" (printf "%s goes" .what) "path" .to "mounts" $.mounts) -}}
{{- end -}}
{{- include "hook-runner.check-owners" . -}}
{{- range .work.waits }}{{ include "hook-runner.check-wait" . }}{{ end -}}
{{- range .work.steps -}}
{{- if and (eq .kind "exec") (not (first .body.command)) -}}
{{- fail (printf "hook-runner: %s.command has no program; write such as command: [/bin/migrate, --all]" .at) -}}
{{- end -}}
{{- include "hook-runner.check-when" . -}}
{{- end -}}
{{- include "hook-runner.check-arguments" . -}}
{{- end -}}

{{/* Two directories that are copied to one place by one owner: each copy would prune what the other installed. */}}
{{- define "hook-runner.check-owners" -}}
{{- $seen := dict -}}
{{- range .work.copies -}}
{{- $owner := get .body "owner" | default $.owner -}}
{{- $place := printf "%s %s" (trimSuffix "/" .to) $owner -}}
{{- if $owner -}}
{{- $other := get $seen $place -}}
{{- if and $other (ne $other .from) -}}
{{- fail (printf "hook-runner: %s and %s are both copied to %s for the owner %s, and each would remove what the other installed; write them as steps with an owner each, such as {copy: {from: %s, to: %s, owner: base}}" $other .from .to $owner .from .to) -}}
{{- end -}}
{{- $_ := set $seen $place .from -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A condition as the runner takes it. Takes what and for. */}}
{{- define "hook-runner.check-wait" -}}
{{- if not (regexMatch "^(file:.+|tcp:.+:[0-9]+|https?://[^/?#].*|exec:.*[^ ].*)$" .for) -}}
{{- fail (printf "hook-runner: %s %q is no condition; write such as file:/data/content/index.html, tcp:db:5432, http://vote:5000/ or exec:pg_isready" .what .for) -}}
{{- end -}}
{{- if regexMatch "^(tcp:|https?:)" .for -}}
{{- $host := regexReplaceAll "^(tcp:|https?://)([^/?#]*).*$" .for "${2}" -}}
{{- if regexMatch "[@%]" $host -}}
{{- fail (printf "hook-runner: %s: the host of one of them has @ or %%, so it may hold a password, which would be in the Job and in the log; write the address alone, such as http://vote:5000/, and give waitAuthEnv or waitAuthFile" .what) -}}
{{- end -}}
{{- if regexMatch "^(\\[[^]]*\\]|[^:[]*):" $host -}}
{{- $port := regexReplaceAll "^(\\[[^]]*\\]|[^:[]*):" $host "" -}}
{{- if not (regexMatch "^0*[1-9][0-9]{0,4}$" $port) | or (gt (regexFind "[1-9][0-9]*$" $port | int) 65535) -}}
{{- fail (printf "hook-runner: %s %q has the port %q; write one from 1 to 65535, such as tcp:db:5432" .what .for $port) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* When a step is done, as the runner takes it. Takes at and body. */}}
{{- define "hook-runner.check-when" -}}
{{- $when := get .body "when" | default dict -}}
{{- if hasKey $when "first-run" }}{{ if not (kindIs "invalid" (get $when "first-run")) -}}
{{- $_ := include "hook-runner.switch" (dict "what" (printf "%s.when.first-run" .at) "value" (get $when "first-run")) -}}
{{- end }}{{ end -}}
{{- with $when.revision -}}
{{- $text := include "hook-runner.word" . -}}
{{- if not (regexMatch "^([<>]=?)?[0-9]{1,9}$" $text) -}}
{{- fail (printf "hook-runner: %s.when.revision is %q; write such as 3, \">1\" or \"<=9\"" $.at $text) -}}
{{- end -}}
{{- end -}}
{{- $events := list "pre-install" "post-install" "pre-delete" "post-delete" "pre-upgrade" "post-upgrade" "pre-rollback" "post-rollback" "test" -}}
{{- range kindIs "slice" $when.event | ternary $when.event (list $when.event) -}}
{{- if not (kindIs "invalid" . | or (has . $events)) -}}
{{- fail (printf "hook-runner: %s.when.event is %q; write one of %s" $.at . (join ", " $events)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Options by which the chart goes itself, and the value that each follows from. */}}
{{- define "hook-runner.chart-options" -}}
{hook: steps, copy: copy, wait-for: wait, log: log, state: state, shard: shards, events: recordEvents, run-id: jobSpec}
{{- end -}}

{{/* extraArgs: options with their values, none by which the chart goes itself. */}}
{{- define "hook-runner.check-arguments" -}}
{{- $values := include "hook-runner.chart-options" . | fromYaml -}}
{{- $rows := (include "hook-runner.table" . | fromJson).options -}}
{{- range $word := .extraArgs -}}
{{- if not (regexMatch "^--[a-z][-a-z]*(=|$)" $word) -}}
{{- fail (printf "hook-runner: extraArgs %q is no option; write each with its value as one word, such as --grace=10s" $word) -}}
{{- end -}}
{{- $option := splitList "=" $word | first | trimPrefix "--" -}}
{{- if hasKey $values $option -}}
{{- fail (printf "hook-runner: extraArgs has %s, by which the chart goes itself, such as to say where the log is; write the value %s instead" $word (get $values $option)) -}}
{{- end -}}
{{- range $row := $rows -}}
{{- if and (eq $row.option $option) (contains "=" $word) -}}
{{- include "hook-runner.check-value" (dict "what" (printf "extraArgs --%s" $option) "row" $row "value" (regexReplaceAll "^[^=]*=" $word "")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
