{{/* The hook Job. The script and the hook file are annotations of its pod, which the pod mounts as files: they live exactly as
     long as the Job, whatever deletes the rest. */}}
{{- define "hook-runner.job" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $both := dict "root" $root "hook" $hook -}}
{{- include "hook-runner.once" (merge (dict "kind" "Job" "name" $hook.fullname "advice" "give each a name of its own (name: seed)") $both) -}}
{{- include "hook-runner.check-order" $both -}}
{{- $spec := include "hook-runner.job-spec" $both | fromYaml -}}
{{- $pod := include "hook-runner.pod" $both | fromYaml -}}
{{- $metadata := dict "labels" (include "hook-runner.labels" (merge (dict "more" $hook.podLabels) $both) | fromYaml) -}}
{{- $files := dict -}}
{{- with $hook.script }}{{ $_ := set $files "hook-runner/script" . }}{{ end -}}
{{- if $hook.steps }}{{ $_ := set $files "hook-runner/hook" (include "hook-runner.file" $hook) }}{{ end -}}
{{- with merge $files (include "hook-runner.reader-annotations" $hook | fromYaml) $hook.podAnnotations $hook.commonAnnotations }}{{ $_ := set $metadata "annotations" . }}{{ end -}}
{{- $_ := set $spec "template" (dict "metadata" $metadata "spec" (mergeOverwrite $pod $hook.podSpec)) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $hook.fullname | quote }}
  namespace: {{ include "hook-runner.namespace" $both | quote }}
  labels:
    {{- include "hook-runner.labels" $both | nindent 4 }}
  annotations:
    {{- $annotations := dict
      "helm.sh/hook" (join "," $hook.events)
      "helm.sh/hook-weight" (toString $hook.weight)
      "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded"
      "ignore-check.kube-linter.io/job-ttl-seconds-after-finished" "a failed hook must stay to be looked at" }}
    {{- mergeOverwrite $annotations (include "hook-runner.reader-annotations" $hook | fromYaml) $hook.commonAnnotations $hook.annotations | toYaml | nindent 4 }}
spec:
  {{- mergeOverwrite $spec $hook.jobSpec | toYaml | nindent 2 }}
{{- end -}}

{{/* The Job's own fields. */}}
{{- define "hook-runner.job-spec" -}}
{{- $hook := .hook -}}
{{- if gt (int $hook.shards) 1 }}
completionMode: Indexed
completions: {{ int $hook.shards }}
parallelism: {{ int $hook.shards }}
{{- end }}
backoffLimit: {{ int $hook.retries }}
activeDeadlineSeconds: {{ int $hook.seconds.job }}
{{- if not (kindIs "invalid" $hook.ttlSecondsAfterFinished) }}
ttlSecondsAfterFinished: {{ int $hook.ttlSecondsAfterFinished }}
{{- end }}
# A new attempt starts when the last one's pod has ended: two pods on one volume would wait for each other.
podReplacementPolicy: Failed
{{- if eq $hook.restartPolicy "Never" }}
{{- $judged := ternary "hook-runner" "hook" $hook.sidecar.enabled }}
podFailurePolicy:
  rules:
    # The hook itself is wrong, or its command cannot be executed: another attempt would end the same way.
    - action: FailJob
      onExitCodes: {containerName: {{ $judged }}, operator: In, values: [78, 126, 127]}
    # The node went away; no fault of the hook, so it does not use up an attempt.
    - action: Ignore
      onPodConditions: [{type: DisruptionTarget}]
    - action: Count
      onExitCodes: {containerName: {{ $judged }}, operator: In, values: [69, 74, 75, 124]}
{{- end }}
{{- end -}}

{{/* Refuses a second resource of one kind and name in one rendering, whichever chart of the release it comes from: Helm would
     run one Job of them twice and the other never, and the API server knows one claim. Release is the one map that all
     charts of a release share. Takes root, hook, kind, name and advice. */}}
{{- define "hook-runner.once" -}}
{{- $seen := .root.Release.hookRunnerSeen | default dict -}}
{{- $key := printf "%s %s/%s" .kind (include "hook-runner.namespace" .) .name -}}
{{- if hasKey $seen $key -}}
{{- fail (printf "hook-runner: two hooks of this release make the %s %s; %s" .kind .name .advice) -}}
{{- end -}}
{{- $_ := set .root.Release "hookRunnerSeen" (set $seen $key true) -}}
{{- end -}}

{{/* Refuses two hooks of one chart that Helm would run by their names, since they have one weight at one event, unless the
     values give both that weight. Takes root and hook. */}}
{{- define "hook-runner.check-order" -}}
{{- $hook := .hook -}}
{{- $all := .root.Release.hookRunnerOrder | default dict -}}
{{- $chart := .root.Template.BasePath -}}
{{- $before := get $all $chart | default list -}}
{{- range $other := $before -}}
{{- if and (eq .weight (int $hook.weight)) (not (and .ordered $hook.ordered)) -}}
{{- range $event := .events -}}
{{- if has $event $hook.events -}}
{{- fail (printf "hook-runner: two hooks of this chart, %s and %s, have the weight %d at %s, and Helm would run them by name; include them in the order in which they are to run, {{ include \"hook-runner.hooks\" (dict \"root\" . \"hooks\" (list \"seed\" \"migrate\")) }}, or give each a weight of its own (weight: 20)" $other.name $hook.name (int $hook.weight) $event) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $this := dict "name" $hook.name "weight" (int $hook.weight) "ordered" $hook.ordered "events" $hook.events -}}
{{- $_ := set .root.Release "hookRunnerOrder" (set $all $chart (append $before $this)) -}}
{{- end -}}
