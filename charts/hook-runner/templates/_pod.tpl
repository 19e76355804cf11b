{{/* The hook's pod. Takes root and hook (checked values). */}}
{{- define "hook-runner.pod" -}}
{{- $hook := .hook -}}
restartPolicy: {{ $hook.restartPolicy }}
terminationGracePeriodSeconds: {{ int $hook.seconds.termination }}
# A Service called hook-runner-… would otherwise add HOOK_RUNNER_… variables, which the runner reads as options.
enableServiceLinks: false
automountServiceAccountToken: {{ $hook.sidecar.enabled }}
{{- if $hook.sidecar.enabled }}
serviceAccountName: {{ $hook.fullname }}
{{- end }}
{{- with $hook.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "hook-runner.pod-security" $hook | nindent 2 }}
{{- include "hook-runner.placement" $hook }}
{{- if and (eq $hook.runner.from "install") (not $hook.sidecar.enabled) }}
initContainers:
  {{- include "hook-runner.installer" $hook | nindent 2 }}
{{- end }}
containers:
  - name: hook
    image: {{ $hook.image | quote }}
    imagePullPolicy: {{ $hook.imagePullPolicy }}
    {{- if $hook.sidecar.enabled }}
    {{- with $hook.command }}
    command:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with $hook.sidecar.args }}
    args:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- else }}
    command:
      {{- include "hook-runner.run" $hook | nindent 6 }}
    {{- end }}
    {{- if or (not $hook.sidecar.enabled) $hook.env }}
    env:
      {{- if not $hook.sidecar.enabled }}
      {{- include "hook-runner.identity" . | nindent 6 }}
      {{- end }}
      {{- with $hook.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
    {{- with $hook.envFrom }}
    envFrom:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    resources:
      {{- toYaml $hook.resources | nindent 6 }}
    securityContext:
      {{- include "hook-runner.container-security" . | nindent 6 }}
    {{- if $hook.sidecar.enabled }}
    terminationMessagePolicy: FallbackToLogsOnError
    {{- end }}
    volumeMounts:
      {{- include "hook-runner.mounts" $hook | nindent 6 }}
      {{- if not $hook.sidecar.enabled }}
      {{- include "hook-runner.runner-mount" $hook | nindent 6 }}
      {{- end }}
      {{- with $hook.volumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  {{- if $hook.sidecar.enabled }}
  - name: hook-runner
    image: {{ $hook.runner.image | quote }}
    imagePullPolicy: {{ $hook.imagePullPolicy }}
    args:
      - sidecar
      - --container=hook
      - --log={{ $hook.log }}
      - --grace={{ int $hook.seconds.grace }}s
    env:
      {{- include "hook-runner.identity" . | nindent 6 }}
    resources:
      {{- toYaml $hook.runnerResources | nindent 6 }}
    securityContext:
      {{- include "hook-runner.container-security" . | nindent 6 }}
    volumeMounts:
      {{- include "hook-runner.claim-mount" $hook | nindent 6 }}
  {{- end }}
volumes:
  - name: content
    persistentVolumeClaim: {claimName: {{ $hook.claim.name }}}
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- if $hook.script }}
  - name: config
    configMap: {name: {{ $hook.fullname }}, defaultMode: 0555}
  {{- end }}
  {{- if not $hook.sidecar.enabled }}
  {{- include "hook-runner.runner-volume" $hook | nindent 2 }}
  {{- end }}
  {{- with $hook.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Where the hook's container has what. */}}
{{- define "hook-runner.mounts" -}}
{{ include "hook-runner.claim-mount" . }}
- {name: tmp, mountPath: /tmp}
{{- if .script }}
- {name: config, mountPath: /config, readOnly: true}
{{- end }}
{{- end -}}

{{- define "hook-runner.claim-mount" -}}
- name: content
  mountPath: {{ .claim.mountPath }}
  {{- with .claim.subPath }}
  subPath: {{ . }}
  {{- end }}
{{- end -}}

{{/* The runner's command line. */}}
{{- define "hook-runner.run" -}}
{{- $words := list (include "hook-runner.program" .) "run" -}}
{{- range .copy }}{{ $words = append $words (printf "--copy=%s" .) }}{{ end -}}
{{- if .copy -}}
{{- $words = concat $words (list (printf "--policy=%s" .policy) (printf "--prune=%s" .prune)) -}}
{{- range .exclude }}{{ $words = append $words (printf "--exclude=%s" .) }}{{ end -}}
{{- if gt (int .shards) 1 }}{{ $words = append $words "--shard=auto" }}{{ end -}}
{{- end -}}
{{- range .wait }}{{ $words = append $words (printf "--wait-for=%s" .) }}{{ end -}}
{{- if .wait -}}
{{- $words = append $words (printf "--wait-timeout=%ds" (int .seconds.attempt)) -}}
{{- with .waitStatus }}{{ $words = append $words (printf "--wait-status=%s" (toString .)) }}{{ end -}}
{{- end -}}
{{- $words = append $words (printf "--log=%s" .log) -}}
{{- if ne .logFailure "fail" }}{{ $words = append $words (printf "--log-failure=%s" .logFailure) }}{{ end -}}
{{- $words = concat $words (list (printf "--timeout=%ds" (int .seconds.attempt)) (printf "--grace=%ds" (int .seconds.grace))) -}}
{{- range .redact.env }}{{ $words = append $words (printf "--redact-env=%s" .) }}{{ end -}}
{{- range .redact.files }}{{ $words = append $words (printf "--redact-file=%s" .) }}{{ end -}}
{{- $words = concat $words (.extraArgs | default list) -}}
{{- if .script -}}
{{- $words = concat $words (list "--" (printf "/config/%s" .scriptName)) -}}
{{- else if .command -}}
{{- $words = concat $words (list "--") .command -}}
{{- end -}}
{{- toYaml $words -}}
{{- end -}}

{{/* Who runs: the Job's UID is the run id, so that a Job's retries are attempts of one run. */}}
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

{{/* A ReadWriteOnce volume is on one node at a time, so the hook's pod must land where the application's is. Required
     only where the application is there by then: before an install and after a delete it is not, and the pod would
     never be scheduled. */}}
{{- define "hook-runner.placement" -}}
{{- $mode := .app.affinity -}}
{{- if eq $mode "auto" -}}
{{- $mode = "none" -}}
{{- if and .app.matchLabels (eq .claim.accessMode "ReadWriteOnce") -}}
{{- $mode = "required" -}}
{{- range .events -}}
{{- if not (has . (list "post-install" "post-upgrade" "post-rollback")) }}{{ $mode = "preferred" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if ne $mode "none" }}
affinity:
  podAffinity:
    {{- if eq $mode "required" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- toYaml .app.matchLabels | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- toYaml .app.matchLabels | nindent 14 }}
    {{- end }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
