{{/* The account of the hook's pod, with serviceAccount.create or for the sidecar. */}}
{{- define "hook-runner.service-account" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "hook-runner.companion-metadata" (dict "root" $root "hook" $hook "kind" "ServiceAccount" "name" $hook.serviceAccount.name "annotations" $hook.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
