{{/* Refuses a claim that is not there when the hook runs, and what would be written beside the volumes. */}}
{{- define "hook-runner.check-claim" -}}
{{- if not (or .claim.name (eq .log "none") .logVolume) -}}
{{- fail "hook-runner: claim.name is empty; give the name of the claim that the preserved log is written to, set claim.create, or say log: none for a hook that has no volume" -}}
{{- end -}}
{{- include "hook-runner.check-name" (dict "what" "claim.name" "value" .claim.name) -}}
{{- if and .claim.create .early -}}
{{- fail (printf "hook-runner: claim.create makes the claim with the release's resources, and a hook of %s may run when they are not there: it would hang in Pending; name a claim that exists (claim: {name: vote-data, create: false}), or use post-install and post-upgrade" (join ", " .events)) -}}
{{- end -}}
{{- if or (hasPrefix "/" .claim.subPath) (has ".." (splitList "/" .claim.subPath)) -}}
{{- fail (printf "hook-runner: claim.subPath is %q; write the folder of the volume without a leading slash and without .., such as vote/content" .claim.subPath) -}}
{{- end -}}
{{- with .state }}{{ include "hook-runner.on-a-volume" (dict "what" (printf "state %s goes" .) "path" . "mounts" $.mounts) }}{{ end -}}
{{- with .metricsFile }}{{ include "hook-runner.on-a-volume" (dict "what" (printf "metricsFile %s goes" .) "path" . "mounts" $.mounts) }}{{ end -}}
{{- if ne .log "none" -}}
{{- include "hook-runner.on-a-volume" (dict "what" (printf "log %s goes" .log) "path" .log "mounts" $.mounts) -}}
{{- end -}}
{{- end -}}

{{/* What is written beside the volumes is gone with the pod, or cannot be written at all. */}}
{{- define "hook-runner.on-a-volume" -}}
{{- if regexMatch "(^|/)[.]{1,2}(/|$)" .path -}}
{{- fail (printf "hook-runner: %s a way round, by . or ..; write the plain path, such as /data/%s" .what (regexFind "[^/.][^/]*/*$" .path)) -}}
{{- end -}}
{{- $path := printf "%s/" (trimSuffix "/" .path) -}}
{{- $found := false -}}
{{- range .mounts }}{{ if hasPrefix (printf "%s/" (trimSuffix "/" .)) $path }}{{ $found = true }}{{ end }}{{ end -}}
{{- if not $found -}}
{{- fail (printf "hook-runner: %s to no volume: %s; write below a mounted volume, or add a mount to volumeMounts" .what (.mounts | empty | ternary "no claim is given (claim.name)" (printf "mounted are %s" (join ", " .mounts)))) -}}
{{- end -}}
{{- end -}}
