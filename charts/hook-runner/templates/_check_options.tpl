{{/* Each option's value looks as the runner takes it, at the top and in a step alike, and has something that it applies to: a
     value is never dropped without a word. Takes the hook's values, rendered. */}}
{{- define "hook-runner.check-options" -}}
{{- $rows := (include "hook-runner.table" . | fromJson).options -}}
{{- range $row := $rows -}}
{{- range (include "hook-runner.option-values" (dict "hook" $ "row" $row) | fromJson).values -}}
{{- include "hook-runner.check-value" (dict "what" $row.value "row" $row "value" .) -}}
{{- include "hook-runner.check-applies" (dict "hook" $ "row" $row "value" .) -}}
{{- end -}}
{{- end -}}
{{- range $step := .work.steps -}}
{{- range $row := $rows -}}
{{- if and (eq $row.of $step.kind) (hasKey $step.body $row.key) -}}
{{- $value := get $step.body $row.key -}}
{{- if not (kindIs "invalid" $value) -}}
{{- range kindIs "slice" $value | ternary $value (list $value) -}}
{{- include "hook-runner.check-value" (dict "what" (printf "%s.%s" $step.at $row.key) "row" $row "value" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One value of an option. Takes what (its name in the message), row and value. */}}
{{- define "hook-runner.check-value" -}}
{{- $text := include "hook-runner.word" .value -}}
{{- if .row.one -}}
{{- if not (has $text .row.one) -}}
{{- fail (printf "hook-runner: %s is %q; write one of %s" .what $text (join ", " .row.one)) -}}
{{- end -}}
{{- else if has .row.is (list "duration" "limit") -}}
{{- include "hook-runner.check-duration" (dict "what" .what "value" .value "positive" (eq .row.is "limit")) -}}
{{- else -}}
{{- $form := get (include "hook-runner.forms" . | fromYaml) .row.is -}}
{{- if and $form.quoted (not (kindIs "string" .value)) -}}
{{- fail (printf "hook-runner: %s is the number %s, and YAML may have changed it (%s); put it in quotes: %s: %s" .what $text $form.quoted (splitList "." .what | last) $form.such) -}}
{{- end -}}
{{- if and .row.positive (not (regexMatch "[1-9]" $text)) -}}
{{- fail (printf "hook-runner: %s is %s, which leaves nothing; write such as %s, or leave it out" .what $text $form.such) -}}
{{- end -}}
{{- if not (regexMatch $form.is $text) -}}
{{- fail (printf "hook-runner: %s is %q, which is no %s; write such as %s" .what $text $form.called $form.such) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Something is there that a given option is about. Takes hook, row and value. */}}
{{- define "hook-runner.check-applies" -}}
{{- $given := printf "%s is %s" .row.value (include "hook-runner.word" .value) -}}
{{- if and .hook.sidecar.enabled (not .row.sidecar) -}}
{{- fail (printf "hook-runner: %s, which is an option of `hook-runner run` and does not apply with sidecar.enabled; remove it" $given) -}}
{{- end -}}
{{- if and (eq .row.of "copy") (not .hook.work.copies) -}}
{{- fail (printf "hook-runner: %s, and the hook copies nothing; add such as /app:/data/content to copy, or remove %s" $given .row.value) -}}
{{- end -}}
{{- if and (eq .row.of "wait") (not .row.http) (not .hook.work.waits) -}}
{{- fail (printf "hook-runner: %s, and the hook waits for nothing; add such as tcp:db:5432 to wait, or remove %s" $given .row.value) -}}
{{- end -}}
{{- if and (eq .row.of "exec") (not .hook.work.executes) -}}
{{- fail (printf "hook-runner: %s, and the hook has no command; add one, such as command: [/bin/migrate], or remove %s" $given .row.value) -}}
{{- end -}}
{{- if .row.http -}}
{{- $asks := false -}}
{{- range .hook.work.waits }}{{ if regexMatch "^https?://" .for }}{{ $asks = true }}{{ end }}{{ end -}}
{{- if not $asks -}}
{{- fail (printf "hook-runner: %s, and none of wait asks over http; add such as http://vote:5000/ to wait, or remove %s" $given .row.value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Options that need another one. */}}
{{- define "hook-runner.check-together" -}}
{{- $split := eq (toString .splitStreams) "true" -}}
{{- range .extraArgs }}{{ if regexMatch "^--split-streams(=true)?$" . }}{{ $split = true }}{{ end }}{{ end -}}
{{- if and (eq (toString .annotate) "true") (not $split) -}}
{{- fail "hook-runner: annotate marks the lines of stderr, and with one pipe for both streams they cannot be told apart; write splitStreams: true as well" -}}
{{- end -}}
{{- end -}}
