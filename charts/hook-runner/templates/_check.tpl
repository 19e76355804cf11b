{{/* What no single value shows to be wrong, each in one sentence: what, why, what to do. Takes the hook's values. */}}
{{- define "hook-runner.check" -}}
{{- range list "name" "events" "runner" "claim" "app" "timeout" "sidecar" "podSecurity" -}}
{{- if not (hasKey $ .) -}}
{{- fail (printf "hook-runner: the hook's values have no %q, so they are not those of a dependency: put them below `hook-runner`, or list the dependency again in Chart.yaml with an alias and put them below that" .) -}}
{{- end -}}
{{- end -}}
{{- if not .image -}}
{{- fail "hook-runner: image is empty; give the image the hook runs in, such as vote:1.0.0" -}}
{{- end -}}
{{- if not (or .claim.name .claim.create) -}}
{{- fail "hook-runner: claim.name is empty; give the name of the claim that the preserved log is written to, or set claim.create" -}}
{{- end -}}
{{- if gt (len (compact (list (.script | empty | ternary "" "x") (.scriptFile | empty | ternary "" "y") (.command | empty | ternary "" "z")))) 1 -}}
{{- fail "hook-runner: more than one of command, script and scriptFile is given; the hook runs one, keep that" -}}
{{- end -}}
{{- if .sidecar.enabled -}}
{{- if or .copy .wait .script .scriptFile -}}
{{- fail "hook-runner: sidecar.enabled leaves the hook's image and command as they are, so copy, wait, script and scriptFile do not apply; remove them, or turn the sidecar off" -}}
{{- end -}}
{{- if ne .restartPolicy "Never" -}}
{{- fail "hook-runner: restartPolicy must be Never with sidecar.enabled: the sidecar ends with the container it follows and cannot follow its restart; use retries" -}}
{{- end -}}
{{- if or .redact.env .redact.files .extraArgs -}}
{{- fail "hook-runner: redact and extraArgs are options of `hook-runner run` and do not apply with sidecar.enabled; remove them" -}}
{{- end -}}
{{- else if not (or .copy .wait .command .script .scriptFile) -}}
{{- fail "hook-runner: the hook does nothing: give at least one of copy, wait, command, script, scriptFile" -}}
{{- end -}}
{{- if gt (int .shards) 1 -}}
{{- if or (ne (len .copy) 1) .command .script .scriptFile .sidecar.enabled -}}
{{- fail (printf "hook-runner: shards is %d, and every pod of the Job does the same: give one copy and no command, script, scriptFile or sidecar; what comes after the copy is a hook of its own with a higher weight" (int .shards)) -}}
{{- end -}}
{{- end -}}
{{- if .sidecar.args | and (not .sidecar.enabled) -}}
{{- fail "hook-runner: sidecar.args are given and sidecar.enabled is false; enable it, or put the words into command" -}}
{{- end -}}
{{- if and (has .app.affinity (list "required" "preferred")) (not .app.matchLabels) -}}
{{- fail (printf "hook-runner: app.affinity is %s and app.matchLabels is empty; give the labels of the application's pods" .app.affinity) -}}
{{- end -}}
{{- $mounts := list .claim.mountPath -}}
{{- range .volumeMounts }}{{ $mounts = append $mounts .mountPath }}{{ end -}}
{{- range .copy -}}
{{- include "hook-runner.on-a-volume" (dict "what" (printf "copy %s goes" .) "path" (regexReplaceAll "^[^:]*:" . "") "mounts" $mounts) -}}
{{- end -}}
{{- if and .log (ne .log "none") -}}
{{- include "hook-runner.on-a-volume" (dict "what" (printf "log %s goes" .log) "path" .log "mounts" $mounts) -}}
{{- end -}}
{{- end -}}

{{/* What is written beside the volumes is gone with the pod, or cannot be written at all. */}}
{{- define "hook-runner.on-a-volume" -}}
{{- $path := printf "%s/" (trimSuffix "/" .path) -}}
{{- $found := false -}}
{{- range .mounts }}{{ if hasPrefix (printf "%s/" (trimSuffix "/" .)) $path }}{{ $found = true }}{{ end }}{{ end -}}
{{- if not $found -}}
{{- fail (printf "hook-runner: %s to no volume: the claim is mounted at %s; write below that, or add a mount to volumeMounts" .what (first .mounts)) -}}
{{- end -}}
{{- end -}}
