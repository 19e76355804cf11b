{{/* What no single value shows to be wrong, each in one sentence: what, why, what to do. Takes the hook's values, rendered. */}}
{{- define "hook-runner.check" -}}
{{- include "hook-runner.check-work" . -}}
{{- include "hook-runner.check-options" . -}}
{{- include "hook-runner.check-together" . -}}
{{- include "hook-runner.check-fields" . -}}
{{- include "hook-runner.check-pod" . -}}
{{- include "hook-runner.check-claim" . -}}
{{- include "hook-runner.check-steps" . -}}
{{- if .sidecar.enabled }}{{ include "hook-runner.check-sidecar" . }}{{ end -}}
{{- if gt (int .shards) 1 -}}
{{- if or (ne (len .copy) 1) .command .script .steps .sidecar.enabled -}}
{{- fail (printf "hook-runner: shards is %d, and every pod of the Job does the same: give one copy and no command, script, scriptFile, steps or sidecar; what comes after the copy is a hook of its own with a higher weight" (int .shards)) -}}
{{- end -}}
{{- end -}}
{{- if .sidecar.args | and (not .sidecar.enabled) -}}
{{- fail "hook-runner: sidecar.args are given and sidecar.enabled is false; enable it, or put the words into command" -}}
{{- end -}}
{{- if and (has .app.affinity (list "required" "preferred")) (not .app.matchLabels) -}}
{{- fail (printf "hook-runner: app.affinity is %s and app.matchLabels is empty; give the labels of the application's pods, such as app.kubernetes.io/name: vote" .app.affinity) -}}
{{- end -}}
{{- end -}}

{{/* The values are those of a dependency, with all defaults. */}}
{{- define "hook-runner.check-complete" -}}
{{- range list "name" "events" "runner" "claim" "app" "timeout" "sidecar" "podSecurityContext" -}}
{{- if not (hasKey $ .) -}}
{{- fail (printf "hook-runner: the hook's values have no %q, so they are not those of a dependency: put them below `hook-runner`, or list the dependency again in Chart.yaml with an alias and put them below that" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The images are named, and there is something to do. */}}
{{- define "hook-runner.check-work" -}}
{{- if not .image -}}
{{- fail "hook-runner: image is empty; give the image the hook runs in, such as vote:1.0.0" -}}
{{- end -}}
{{- if and (not .runner.image) (or .sidecar.enabled (ne .runner.from "image")) -}}
{{- fail "hook-runner: runner.image is empty; give the image that hook-runner was published as, such as registry.example/hook-runner:0.1.0" -}}
{{- end -}}
{{- if gt (len (compact (list (.script | empty | ternary "" "x") (.command | empty | ternary "" "y")))) 1 -}}
{{- fail "hook-runner: more than one of command, script and scriptFile is given; the hook runs one, keep that (or write several as steps)" -}}
{{- end -}}
{{- if and .script (not (hasPrefix "#!" .script)) -}}
{{- fail "hook-runner: the script does not begin with its interpreter; make its first line #!/bin/sh -e, or that of another program of the image" -}}
{{- end -}}
{{- if regexMatch "^[^\n]*\r\n" .script -}}
{{- fail "hook-runner: the script's lines end with CR LF, so its interpreter would not be found; write it with LF alone, as by sed -i 's/\\r$//'" -}}
{{- end -}}
{{- $bytes := add (len .script) (len (.steps | empty | ternary "" (include "hook-runner.file" .))) -}}
{{- if gt $bytes 200000 -}}
{{- fail (printf "hook-runner: script and steps have %d bytes, and the API server takes 200000 with a Job; put the script into the image, and its path into command" $bytes) -}}
{{- end -}}
{{- if .steps -}}
{{- if or .copy .wait .command -}}
{{- fail "hook-runner: steps are the whole list of what is done, so copy, wait and command do not apply; make them steps, such as - copy: {from: /app, to: /data/content}" -}}
{{- end -}}
{{- end -}}
{{- if and (or .onFailure .finally) (not .steps) -}}
{{- fail "hook-runner: onFailure and finally come after steps, and there are none; write what the hook does as steps, such as - exec: {command: [/config/post-task.sh]}" -}}
{{- end -}}
{{- if not (or .copy .wait .command .script .steps .sidecar.enabled) -}}
{{- fail "hook-runner: the hook does nothing: give at least one of copy, wait, command, script, scriptFile, steps" -}}
{{- end -}}
{{- if and .args (not (or .command .script .sidecar.enabled)) -}}
{{- fail (printf "hook-runner: args are given and no command: a pod does not know its image's entrypoint, so write it as well, such as command: [/entrypoint.sh] beside args: [%s]" (join ", " .args)) -}}
{{- end -}}
{{- end -}}

{{- define "hook-runner.check-sidecar" -}}
{{- if or .copy .wait .script .steps -}}
{{- fail "hook-runner: sidecar.enabled leaves the hook's image and command as they are, so copy, wait, script, scriptFile and steps do not apply; remove them, or turn the sidecar off" -}}
{{- end -}}
{{- if ne .restartPolicy "Never" -}}
{{- fail "hook-runner: restartPolicy must be Never with sidecar.enabled: the sidecar ends with the container it follows and cannot follow its restart; use retries" -}}
{{- end -}}
{{- if .extraArgs -}}
{{- fail "hook-runner: extraArgs are options of `hook-runner run` and do not apply with sidecar.enabled; remove them" -}}
{{- end -}}
{{- if eq .log "none" -}}
{{- fail "hook-runner: log is none and sidecar.enabled, and the log is all that the sidecar is for; turn it off, or give claim.name" -}}
{{- end -}}
{{- end -}}
