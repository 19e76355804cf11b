{{/* The names that other charts have for the same, in one place: what is given by such a name goes to the value that means it, so
     that no other template knows both. Changes the hook's values, rendered. */}}
{{- define "hook-runner.aliases" -}}
{{- $hook := . -}}
{{- range $alias, $name := dict "extraEnv" "env" "extraEnvVars" "env" "extraVolumes" "volumes" "extraVolumeMounts" "volumeMounts" "sidecars" "extraContainers" -}}
{{- $_ := set $hook $name (concat (get $hook $name) (get $hook $alias)) -}}
{{- end -}}
{{- with $hook.extraEnvVarsCM }}{{ $_ := set $hook "envFrom" (append $hook.envFrom (dict "configMapRef" (dict "name" .))) }}{{ end -}}
{{- with $hook.extraEnvVarsSecret }}{{ $_ := set $hook "envFrom" (append $hook.envFrom (dict "secretRef" (dict "name" .))) }}{{ end -}}
{{- $_ := set $hook "labels" (mergeOverwrite (deepCopy $hook.commonLabels) $hook.labels) -}}
{{- $_ := set $hook "lifecycle" (mergeOverwrite (deepCopy $hook.lifecycleHooks) $hook.lifecycle) -}}
{{- $_ := set $hook.claim "mountPath" ($hook.claim.mountPath | trimSuffix "/" | default "/") -}}
{{- with $hook.serviceAccountName }}{{ $_ := set $hook.serviceAccount "name" . }}{{ end -}}
{{- if not (kindIs "invalid" $hook.backoffLimit) }}{{ $_ := set $hook "retries" $hook.backoffLimit }}{{ end -}}
{{- with $hook.activeDeadlineSeconds }}{{ $_ := set $hook "timeout" (printf "%ds" (int64 .)) }}{{ end -}}
{{- end -}}
