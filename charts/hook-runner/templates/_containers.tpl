{{/* The hook's container, and the runner's beside it with sidecar.enabled. Each takes root and hook (checked values). */}}
{{- define "hook-runner.hook-container" -}}
{{- $hook := .hook -}}
name: hook
image: {{ $hook.image | quote }}
imagePullPolicy: {{ $hook.imagePullPolicy }}
{{- if not $hook.sidecar.enabled }}
command:
  {{- include "hook-runner.run" $hook | nindent 2 }}
{{- else }}
{{- with $hook.command }}
command:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat $hook.args $hook.sidecar.args }}
args:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end }}
{{- if or (not $hook.sidecar.enabled) $hook.env }}
env:
  {{- if not $hook.sidecar.enabled }}
  {{- include "hook-runner.identity" . | nindent 2 }}
  {{- end }}
  {{- with $hook.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with $hook.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $hook.workingDir }}
workingDir: {{ . | quote }}
{{- end }}
{{- with $hook.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml $hook.resources | nindent 2 }}
securityContext:
  {{- include "hook-runner.container-security" $hook | nindent 2 }}
volumeMounts:
  {{- include "hook-runner.claim-mount" $hook | nindent 2 }}
  - {name: tmp, mountPath: /tmp}
  {{- if or $hook.script $hook.steps }}
  - {name: config, mountPath: /config, readOnly: true}
  {{- end }}
  {{- if not $hook.sidecar.enabled }}
  {{- include "hook-runner.runner-mount" $hook | nindent 2 }}
  {{- end }}
  {{- with $hook.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Listed before the hook's container, so that it is started first. An ordinary container: the result of a native
     sidecar does not count for the Job's. */}}
{{- define "hook-runner.sidecar-container" -}}
{{- $hook := .hook -}}
name: hook-runner
image: {{ $hook.runner.image | quote }}
imagePullPolicy: {{ $hook.runner.imagePullPolicy }}
args:
  {{- concat (list "sidecar" "--container=hook") (include "hook-runner.option-words" (dict "hook" $hook "of" (list "hook")) | fromJson).words | toYaml | nindent 2 }}
env:
  {{- include "hook-runner.identity" . | nindent 2 }}
resources:
  {{- toYaml $hook.runnerResources | nindent 2 }}
securityContext:
  {{- include "hook-runner.container-security" $hook | nindent 2 }}
volumeMounts:
  {{- include "hook-runner.claim-mount" $hook | nindent 2 }}
  {{- with $hook.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where the hook's containers have the claim. */}}
{{- define "hook-runner.claim-mount" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.claim-mount") -}}
{{- if .claim.name -}}
- name: content
  mountPath: {{ .claim.mountPath | quote }}
  {{- with .claim.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "hook-runner.claim-volume" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.claim-volume") -}}
{{- if .claim.name -}}
- name: content
  persistentVolumeClaim: {claimName: {{ .claim.name | quote }}}
{{- end }}
{{- end -}}

{{/* Who runs: the Job's UID is the run id, so that a Job's retries are attempts of one run, and a new Job is another run
     whatever revision the caller counts (Argo CD's is always 1). */}}
{{- define "hook-runner.identity" -}}
- name: HOOK_RUNNER_RUN_ID
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/controller-uid']"}}
- name: HOOK_RUNNER_JOB
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}
- name: HOOK_RUNNER_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: HOOK_RUNNER_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: HOOK_RUNNER_NODE
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
- {name: HOOK_RUNNER_RELEASE, value: {{ .root.Release.Name | quote }}}
- {name: HOOK_RUNNER_REVISION, value: {{ .root.Release.Revision | quote }}}
- {name: HOOK_RUNNER_CHART, value: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}}
- {name: HOOK_RUNNER_HOOK_EVENT, value: {{ include "hook-runner.event" (dict "root" .root "events" .hook.events) | quote }}}
{{- if gt (int .hook.shards) 1 }}
- {name: HOOK_RUNNER_COMPLETIONS, value: {{ int .hook.shards | quote }}}
{{- end }}
- {name: HOOK_RUNNER_TERMINATION_GRACE_PERIOD, value: {{ printf "%ds" (int .hook.seconds.termination) | quote }}}
{{- end -}}
