{{/* What the sidecar needs to follow the other container's log: its pod and that pod's log, read only. Hook resources
     of a lower weight than the Job's; Helm creates equal weights in the order ServiceAccount, Role, RoleBinding. */}}
{{- define "hook-runner.rbac" -}}
{{- $root := ternary .root . (eq (include "hook-runner.is-block" .) "true") -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $metadata := dict "root" $root "hook" $hook -}}
apiVersion: v1
kind: ServiceAccount
{{ include "hook-runner.rbac-metadata" $metadata }}
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
{{ include "hook-runner.rbac-metadata" $metadata }}
rules:
  - apiGroups: [""]
    resources: [pods, pods/log]
    verbs: [get]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
{{ include "hook-runner.rbac-metadata" $metadata }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $hook.fullname }}
subjects:
  - kind: ServiceAccount
    name: {{ $hook.fullname }}
    namespace: {{ $root.Release.Namespace }}
{{- end -}}

{{- define "hook-runner.rbac-metadata" -}}
metadata:
  name: {{ .hook.fullname }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "hook-runner.labels" . | nindent 4 }}
  annotations:
    {{- include "hook-runner.annotations" (dict "hook" .hook "weight" (sub (int .hook.weight) 1)) | nindent 4 }}
{{- end -}}
