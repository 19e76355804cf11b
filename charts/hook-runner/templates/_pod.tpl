{{/* The hook's pod. Takes root and hook (checked values). */}}
{{- define "hook-runner.pod" -}}
{{- $hook := .hook -}}
restartPolicy: {{ $hook.restartPolicy }}
terminationGracePeriodSeconds: {{ int $hook.seconds.termination }}
# A Service called hook-runner-… would otherwise add HOOK_RUNNER_… variables, which the runner reads as options.
enableServiceLinks: false
automountServiceAccountToken: {{ kindIs "invalid" $hook.automountServiceAccountToken | ternary (not (empty $hook.serviceAccount.name)) $hook.automountServiceAccountToken }}
{{- with $hook.serviceAccount.name }}
serviceAccountName: {{ . | quote }}
{{- end }}
securityContext:
  {{- include "hook-runner.pod-security" $hook | nindent 2 }}
{{- with include "hook-runner.affinity" $hook | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- range $field := list "imagePullSecrets" "nodeSelector" "tolerations" "topologySpreadConstraints" "priorityClassName" "runtimeClassName" "schedulerName" "hostAliases" "dnsPolicy" "dnsConfig" "hostNetwork" "shareProcessNamespace" }}
{{- with get $hook $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- $installs := and (eq $hook.runner.from "install") (not $hook.sidecar.enabled) }}
{{- if or $installs $hook.initContainers }}
initContainers:
  {{- if $installs }}
  {{- include "hook-runner.installer" $hook | nindent 2 }}
  {{- end }}
  {{- with $hook.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  {{- if $hook.sidecar.enabled }}
  {{- list (include "hook-runner.sidecar-container" . | fromYaml) | toYaml | nindent 2 }}
  {{- end }}
  {{- list (mergeOverwrite (include "hook-runner.hook-container" . | fromYaml) $hook.containerSpec) | toYaml | nindent 2 }}
  {{- with $hook.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumes:
  {{- include "hook-runner.claim-volume" $hook | nindent 2 }}
  - name: tmp
    emptyDir: {sizeLimit: {{ $hook.tmp.sizeLimit | quote }}}
  {{- include "hook-runner.config-volume" $hook | nindent 2 }}
  {{- if not $hook.sidecar.enabled }}
  {{- include "hook-runner.runner-volume" $hook | nindent 2 }}
  {{- end }}
  {{- with $hook.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The script and the hook file, out of the pod's own annotations. */}}
{{- define "hook-runner.config-volume" -}}
{{- if or .script .steps -}}
- name: config
  downwardAPI:
    defaultMode: 0555
    items:
      {{- if .script }}
      - path: {{ .scriptName | quote }}
        fieldRef: {fieldPath: "metadata.annotations['hook-runner/script']"}
      {{- end }}
      {{- if .steps }}
      - path: hook.yaml
        fieldRef: {fieldPath: "metadata.annotations['hook-runner/hook']"}
      {{- end }}
{{- end }}
{{- end -}}
