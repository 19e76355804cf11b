{{/* A ReadWriteOnce volume is on one node at a time, so the hook's pod must land where the application's is. Required
     only where the application is there by then: before an install and after a delete it is not, and the pod would
     never be scheduled. What `affinity` says is merged over it. */}}
{{- define "hook-runner.affinity" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.affinity") -}}
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
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" .app.matchLabels) -}}
{{- $rules := dict -}}
{{- if eq $mode "required" -}}
{{- $rules = dict "podAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- else if eq $mode "preferred" -}}
{{- $rules = dict "podAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- mergeOverwrite $rules .affinity | toYaml -}}
{{- end -}}
