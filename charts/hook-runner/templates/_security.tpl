{{/* Pod Security "restricted", for the hook's pod and for the application's that shares its volume: the same ids, so that
     each may change what the other wrote. An id that is null is left out, for clusters that assign one. */}}
{{- define "hook-runner.pod-security" -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "runAsGroup" "fsGroup" }}
{{- $id := index $.podSecurity $key }}
{{- if not (kindIs "invalid" $id) }}
{{ $key }}: {{ int64 $id }}
{{- end }}
{{- end }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* The same for each container, with a root filesystem that nothing writes to. */}}
{{- define "hook-runner.container-security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
