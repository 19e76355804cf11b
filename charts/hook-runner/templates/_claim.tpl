{{/* The hook's claim, always a resource of the release. As a hook resource it would be deleted with what it holds: by Helm
     before the next hook, by Argo CD when any hook of a sync fails. */}}
{{- define "hook-runner.claim" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $both := dict "root" $root "hook" $hook -}}
{{- include "hook-runner.once" (merge (dict "kind" "claim" "name" $hook.claim.name "advice" (printf "let one make it, and the other name it (claim: {create: false, name: %s})" $hook.claim.name)) $both) -}}
{{- $global := $root.Values.global | default dict -}}
{{- $class := $hook.claim.storageClass | default $global.storageClass | default $global.defaultStorageClass -}}
{{- $spec := dict "accessModes" (list $hook.claim.accessMode) "resources" (dict "requests" (dict "storage" $hook.claim.size)) -}}
{{- with $class }}{{ $_ := set $spec "storageClassName" (ternary "" . (eq . "-")) }}{{ end -}}
{{- $kept := $hook.claim.keep | ternary (dict "helm.sh/resource-policy" "keep") dict -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ $hook.claim.name | quote }}
  namespace: {{ include "hook-runner.namespace" $both | quote }}
  labels:
    {{- include "hook-runner.labels" $both | nindent 4 }}
  {{- with merge $kept (include "hook-runner.reader-annotations" $hook | fromYaml) $hook.claim.annotations $hook.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- mergeOverwrite $spec $hook.claim.spec | toYaml | nindent 2 }}
{{- end -}}
