{{/* The runner's command line. Takes the hook's checked values. */}}
{{- define "hook-runner.run" -}}
{{- $words := list (include "hook-runner.program" .) "run" -}}
{{- if .steps -}}
{{- $words = append $words "--hook=/config/hook.yaml" -}}
{{- else -}}
{{- range .copy }}{{ $words = append $words (printf "--copy=%s" .) }}{{ end -}}
{{- $words = concat $words (include "hook-runner.option-words" (dict "hook" . "of" (list "copy")) | fromJson).words -}}
{{- if gt (int .shards) 1 }}{{ $words = append $words "--shard=auto" }}{{ end -}}
{{- range .wait }}{{ $words = append $words (printf "--wait-for=%s" .) }}{{ end -}}
{{- $words = concat $words (include "hook-runner.option-words" (dict "hook" . "of" (list "wait" "exec")) | fromJson).words -}}
{{- end -}}
{{- $words = concat $words (include "hook-runner.option-words" (dict "hook" . "of" (list "hook")) | fromJson).words .extraArgs -}}
{{- if and .script (not .steps) -}}
{{- $words = concat $words (list "--" (printf "/config/%s" .scriptName)) .args -}}
{{- else if .command -}}
{{- $words = concat $words (list "--") .command .args -}}
{{- end -}}
{{- toYaml $words -}}
{{- end -}}
