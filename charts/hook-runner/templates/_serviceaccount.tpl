{{/* The account of the hook's pod, with serviceAccount.create or for the sidecar. */}}
{{- define "hook-runner.service-account" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- include "hook-runner.once" (dict "root" $root "hook" $hook "kind" "account" "name" $hook.serviceAccount.name "advice" (printf "let one make it, and the other name it (serviceAccountName: %s)" $hook.serviceAccount.name)) -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "hook-runner.companion-metadata" (dict "root" $root "hook" $hook "kind" "ServiceAccount" "name" $hook.serviceAccount.name "annotations" $hook.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end -}}
