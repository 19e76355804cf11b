{{/* How the runner gets into a container whose image does not hold it: as /runner/hook-runner, since a folder cannot be
     mounted over the file /hook-runner of its own image. Each takes the hook's values; an application that
     uses the runner in a pod of its own (an initContainer that copies) includes the same four. */}}

{{/* The program's path. */}}
{{- define "hook-runner.program" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.program") -}}
{{ ternary .runner.path "/runner/hook-runner" (eq .runner.from "image") }}
{{- end -}}

{{/* The initContainer that copies the runner into an emptyDir; nothing unless runner.from is install. */}}
{{- define "hook-runner.installer" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.installer") -}}
{{- if eq .runner.from "install" -}}
- name: hook-runner-install
  image: {{ .runner.image | quote }}
  imagePullPolicy: {{ .runner.imagePullPolicy }}
  args: [install, /runner]
  resources:
    {{- toYaml .runnerResources | nindent 4 }}
  securityContext:
    {{- include "hook-runner.container-security" . | nindent 4 }}
  volumeMounts:
    - {name: hook-runner, mountPath: /runner}
{{- end }}
{{- end -}}

{{- define "hook-runner.runner-mount" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.runner-mount") -}}
{{- if ne .runner.from "image" -}}
- {name: hook-runner, mountPath: /runner, readOnly: true}
{{- end }}
{{- end -}}

{{- define "hook-runner.runner-volume" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.runner-volume") -}}
{{- if eq .runner.from "install" -}}
- name: hook-runner
  emptyDir: {sizeLimit: 32Mi}
{{- else if eq .runner.from "volume" -}}
- name: hook-runner
  image: {reference: {{ .runner.image | quote }}, pullPolicy: {{ .runner.imagePullPolicy }}}
{{- end }}
{{- end -}}
