{{/* The runner's command line. Takes the hook's checked values. */}}
{{- define "hook-runner.run" -}}
{{- $words := list (include "hook-runner.program" .) "run" -}}
{{- if .steps }}{{ $words = append $words "--hook=/config/hook.yaml" }}{{ end -}}
{{- range .copy }}{{ $words = append $words (printf "--copy=%s" .) }}{{ end -}}
{{- if .copy -}}
{{- $words = concat $words (list (printf "--policy=%s" .policy) (printf "--prune=%s" .prune)) -}}
{{- range .exclude }}{{ $words = append $words (printf "--exclude=%s" .) }}{{ end -}}
{{- range .include }}{{ $words = append $words (printf "--include=%s" .) }}{{ end -}}
{{- if gt (int .shards) 1 }}{{ $words = append $words "--shard=auto" }}{{ end -}}
{{- end -}}
{{- range .wait }}{{ $words = append $words (printf "--wait-for=%s" .) }}{{ end -}}
{{- if .wait }}{{ $words = append $words (printf "--wait-timeout=%s" (.waitTimeout | default (printf "%ds" (int .seconds.wait)))) }}{{ end -}}
{{- range .waitHeaders }}{{ $words = append $words (printf "--wait-header=%s" .) }}{{ end -}}
{{- $words = append $words (printf "--log=%s" .log) -}}
{{- $words = concat $words (list (printf "--timeout=%ds" (int .seconds.attempt)) (printf "--grace=%ds" (int .seconds.grace))) -}}
{{- range .redact.env }}{{ $words = append $words (printf "--redact-env=%s" .) }}{{ end -}}
{{- range .redact.files }}{{ $words = append $words (printf "--redact-file=%s" .) }}{{ end -}}
{{- range .redact.texts }}{{ $words = append $words (printf "--redact=%s" .) }}{{ end -}}
{{- if ne .logFailure "fail" }}{{ $words = append $words (printf "--log-failure=%s" .logFailure) }}{{ end -}}
{{- if .recordEvents }}{{ $words = append $words "--events=true" }}{{ end -}}
{{- if .execRetries }}{{ $words = append $words (printf "--retries=%d" (int .execRetries)) }}{{ end -}}
{{- range $name := include "hook-runner.plain-options" . | fromYamlArray -}}
{{- $value := get $ $name -}}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end -}}
{{- if not (kindIs "invalid" $value | or (eq (toString $value) "")) }}{{ $words = append $words (printf "--%s=%s" (kebabcase $name) (toString $value)) }}{{ end -}}
{{- end -}}
{{- $words = concat $words .extraArgs -}}
{{- if and .script (not .steps) -}}
{{- $words = concat $words (list "--" (printf "/config/%s" .scriptName)) .args -}}
{{- else if .command -}}
{{- $words = concat $words (list "--") .command .args -}}
{{- end -}}
{{- toYaml $words -}}
{{- end -}}

{{/* The options that are passed on as they are, by the name of their value: logMode becomes --log-mode. */}}
{{- define "hook-runner.plain-options" -}}
[logMode, state, lockTimeout, keep, keepBytes, keepDays, logFormat, maxLog, splitStreams, timestamps, annotate, drain, setsid, caFile, terminationLog, metricsFile, chown, chmod, strictMetadata, trustMtime, followDestinationLinks, ignoreSpace, workers, waitStatus, execTimeout, backoff, allowEmptySource, dereference, owner, sourceVersion, sync, waitAuthEnv, waitAuthFile, waitTryTimeout, waitUnixSocket]
{{- end -}}
