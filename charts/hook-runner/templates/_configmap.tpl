{{/* The script as a hook resource that comes before the Job. */}}
{{- define "hook-runner.configmap" -}}
{{- $root := ternary .root . (eq (include "hook-runner.is-block" .) "true") -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $hook.fullname }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "hook-runner.labels" (dict "root" $root "hook" $hook) | nindent 4 }}
  annotations:
    {{- include "hook-runner.annotations" (dict "hook" $hook "weight" (sub (int $hook.weight) 1)) | nindent 4 }}
data:
  {{ $hook.scriptName }}: |2
    {{- $hook.script | nindent 4 }}
{{- end -}}
