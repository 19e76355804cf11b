{{/* What selects the application's pods, and no hook's. */}}
{{- define "vote.selector" -}}
app.kubernetes.io/name: vote
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "vote.labels" -}}
{{ include "vote.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}
