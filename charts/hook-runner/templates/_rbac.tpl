{{/* What the sidecar needs to follow the other container's log: its pod and that pod's log, read only. */}}
{{- define "hook-runner.rbac" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $metadata := dict "root" $root "hook" $hook "name" $hook.fullname -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "hook-runner.companion-metadata" $metadata | nindent 2 }}
rules:
  - apiGroups: [""]
    resources: [pods, pods/log]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "hook-runner.companion-metadata" $metadata | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $hook.fullname }}
subjects:
  - kind: ServiceAccount
    name: {{ $hook.serviceAccount.name }}
    namespace: {{ $root.Release.Namespace }}
{{- end -}}
