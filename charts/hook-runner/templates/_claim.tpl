{{/* The hook's claim, always a resource of the release. As a hook resource it would be deleted with what it holds: by Helm
     before the next hook, by Argo CD when any hook of a sync fails. */}}
{{- define "hook-runner.claim" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $hook.claim.name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "hook-runner.labels" (dict "root" $root "hook" $hook) | nindent 4 }}
  {{- with merge ($hook.claim.keep | ternary (dict "helm.sh/resource-policy" "keep") dict) $hook.claim.annotations $hook.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  accessModes: [{{ $hook.claim.accessMode }}]
  {{- with $hook.claim.storageClass }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $hook.claim.size }}
{{- end -}}
