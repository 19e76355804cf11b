{{/* What the hook's account may do: what rbac gives it, what the sidecar needs to follow the other container's log (its pod
     and that pod's log, read only), and what an Event needs. */}}
{{- define "hook-runner.rules" -}}
{{- $rules := .rbac.rules -}}
{{- if .sidecar.enabled }}{{ $rules = append $rules (dict "apiGroups" (list "") "resources" (list "pods" "pods/log") "verbs" (list "get")) }}{{ end -}}
{{- if .recordEvents }}{{ $rules = append $rules (dict "apiGroups" (list "") "resources" (list "events") "verbs" (list "create")) }}{{ end -}}
{{- toYaml $rules -}}
{{- end -}}

{{- define "hook-runner.rbac" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- with include "hook-runner.rules" $hook | fromYamlArray }}
---
{{ include "hook-runner.role" (dict "root" $root "hook" $hook "kind" "Role" "rules" . "name" $hook.fullname) }}
{{- end }}
{{- with $hook.rbac.clusterRules }}
---
{{ include "hook-runner.role" (dict "root" $root "hook" $hook "kind" "ClusterRole" "rules" . "name" (printf "%s-%s" (include "hook-runner.namespace" (dict "root" $root "hook" $hook)) $hook.fullname)) }}
{{- end }}
{{- end -}}

{{/* A role of either kind, and its binding to the hook's account. Takes root, hook, kind, name and rules. */}}
{{- define "hook-runner.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  {{- include "hook-runner.companion-metadata" . | nindent 2 }}
rules:
  {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  {{- include "hook-runner.companion-metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ .hook.serviceAccount.name | quote }}
    namespace: {{ include "hook-runner.namespace" . | quote }}
{{- end -}}
