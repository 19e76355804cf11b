{{/* The hook Job. */}}
{{- define "hook-runner.job" -}}
{{- $root := ternary .root . (eq (include "hook-runner.is-block" .) "true") -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $both := dict "root" $root "hook" $hook -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $hook.fullname }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "hook-runner.labels" $both | nindent 4 }}
  annotations:
    {{- include "hook-runner.annotations" (dict "hook" $hook "weight" $hook.weight) | nindent 4 }}
    # The delete policy removes a Job that succeeded; one that failed stays until the next release, to be looked at.
    ignore-check.kube-linter.io/job-ttl-seconds-after-finished: "a failed hook must stay to be looked at"
    {{- with $hook.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- if gt (int $hook.shards) 1 }}
  completionMode: Indexed
  completions: {{ int $hook.shards }}
  parallelism: {{ int $hook.shards }}
  {{- end }}
  backoffLimit: {{ int $hook.retries }}
  activeDeadlineSeconds: {{ int $hook.seconds.job }}
  # A new attempt starts when the last one's pod has ended: two pods on one volume would wait for each other.
  podReplacementPolicy: Failed
  {{- if eq $hook.restartPolicy "Never" }}
  podFailurePolicy:
    rules:
      # The hook itself is wrong, or its command cannot be executed: another attempt would end the same way.
      - action: FailJob
        onExitCodes: {containerName: {{ include "hook-runner.judged" $hook }}, operator: In, values: [78, 126, 127]}
      # The node went away; no fault of the hook, so it does not use up an attempt.
      - action: Ignore
        onPodConditions: [{type: DisruptionTarget}]
      - action: Count
        onExitCodes: {containerName: {{ include "hook-runner.judged" $hook }}, operator: In, values: [69, 74, 75, 124]}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "hook-runner.labels" $both | nindent 8 }}
    spec:
      {{- include "hook-runner.pod" $both | nindent 6 }}
{{- end -}}

{{/* The container whose status the podFailurePolicy judges. */}}
{{- define "hook-runner.judged" -}}
{{ ternary "hook-runner" "hook" .sidecar.enabled }}
{{- end -}}
