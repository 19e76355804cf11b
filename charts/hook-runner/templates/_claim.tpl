{{/* The hook's claim: a resource of the release, kept on uninstall when asked. A pre-install hook runs before the
     release's resources are there, so for one the claim is a hook resource itself: created once, never deleted by
     Helm (hook-failed is the one policy that does not delete a claim with content). */}}
{{- define "hook-runner.claim" -}}
{{- $root := ternary .root . (eq (include "hook-runner.is-block" .) "true") -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $early := has "pre-install" $hook.events -}}
{{- if not (and $early (lookup "v1" "PersistentVolumeClaim" $root.Release.Namespace $hook.claim.name)) -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $hook.claim.name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "hook-runner.labels" (dict "root" $root "hook" $hook) | nindent 4 }}
  {{- if or $early $hook.claim.keep }}
  annotations:
    {{- if $early }}
    helm.sh/hook: pre-install
    helm.sh/hook-weight: {{ sub (int $hook.weight) 2 | quote }}
    helm.sh/hook-delete-policy: hook-failed
    {{- end }}
    {{- if $hook.claim.keep }}
    helm.sh/resource-policy: keep
    {{- end }}
  {{- end }}
spec:
  accessModes: [{{ $hook.claim.accessMode }}]
  {{- with $hook.claim.storageClass }}
  storageClassName: {{ ternary "" . (eq . "-") | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $hook.claim.size }}
{{- end }}
{{- end -}}
