{{/* Pod Security "restricted" by default, for the hook's pod and for the application's that shares its volume: the same ids,
     so that each may change what the other wrote. A field that is null is left out, for clusters that assign ids. */}}
{{- define "hook-runner.pod-security" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.pod-security") -}}
{{- include "hook-runner.given" .podSecurityContext -}}
{{- end -}}

{{- define "hook-runner.container-security" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.container-security") -}}
{{- include "hook-runner.given" .containerSecurityContext -}}
{{- end -}}

{{/* The keys that have a value; nothing where `enabled` is false. */}}
{{- define "hook-runner.given" -}}
{{- $given := dict -}}
{{- range $key, $value := . }}{{ if not (or (kindIs "invalid" $value) (eq $key "enabled")) }}{{ $_ := set $given $key $value }}{{ end }}{{ end -}}
{{- if eq (toString .enabled) "false" }}{{ $given = dict }}{{ end -}}
{{- toYaml $given -}}
{{- end -}}
