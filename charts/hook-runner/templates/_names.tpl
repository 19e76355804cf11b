{{/* Names, labels and Helm's annotations. */}}

{{/* RELEASE-CHART-NAME in at most 52 bytes, so that with a pod's suffix it still is a label's value (63). The chart is left
     out where the release is called as the chart, which only one chart of a release can be. An alias of the chart is its name
     here, so that two charts of an umbrella never make one name. What is too long is cut and told apart by a hash, but for the
     hook's own name and fullnameOverride. */}}
{{- define "hook-runner.fullname" -}}
{{- $release := .root.Release.Name -}}
{{- $chart := include "hook-runner.chart-name" . -}}
{{- $prefix := eq $chart $release | ternary $release (printf "%s-%s" $release $chart) -}}
{{- $full := .hook.fullnameOverride | default (printf "%s-%s" $prefix .hook.name) -}}
{{- if and (gt (len $full) 52) (not .hook.fullnameOverride) -}}
{{- $room := int (sub 44 (len .hook.name)) -}}
{{- $full = printf "%s-%s-%s" (trunc $room $prefix | trimSuffix "-" | trimSuffix ".") (sha256sum $prefix | trunc 6) .hook.name -}}
{{- end -}}
{{- $full -}}
{{- end -}}

{{/* The chart's name in names and labels. */}}
{{- define "hook-runner.chart-name" -}}
{{ .hook.nameOverride | default .root.Chart.Name }}
{{- end -}}

{{/* Where everything is made. Takes root and hook. */}}
{{- define "hook-runner.namespace" -}}
{{ .hook.namespaceOverride | default .root.Release.Namespace }}
{{- end -}}

{{/* Where the log is, as JSON: the innermost mount that has it, as {mountPath, subPath, name} of the pod's volume, the log's path
     on that volume, and the claim that the volume is, if it is one. Empty without a log or a volume for it. Sets mounts, the paths
     of all volumes, as well. */}}
{{- define "hook-runner.log-volume" -}}
{{- $mounts := list -}}
{{- if .claim.name }}{{ $mounts = append $mounts (dict "name" "content" "mountPath" .claim.mountPath "subPath" .claim.subPath) }}{{ end -}}
{{- $mounts = concat $mounts .volumeMounts -}}
{{- $claims := dict "content" .claim.name -}}
{{- range .volumes }}{{ $_ := set $claims (toString .name) (dig "persistentVolumeClaim" "claimName" "" .) }}{{ end -}}
{{- $paths := list -}}
{{- $found := dict -}}
{{- range $mounts -}}
{{- $path := toString .mountPath | trimSuffix "/" -}}
{{- $paths = append $paths ($path | default "/") -}}
{{- if and (hasPrefix (printf "%s/" $path) $.log) (ge (len $path) (len (get $found "mountPath"))) -}}
{{- $on := list (get . "subPath" | default "" | trimSuffix "/") (trimPrefix (printf "%s/" $path) $.log) | compact | join "/" -}}
{{- $found = dict "name" .name "mountPath" $path "subPath" (get . "subPath" | default "") "path" $on "claim" (get $claims (toString .name)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set . "mounts" $paths -}}
{{- $found | toJson -}}
{{- end -}}

{{/* What a reader needs who sees no more than the claim: where the log is on its volume, and an image that can show it. The
     claim that is annotated is claim.name: a log elsewhere is not on it. */}}
{{- define "hook-runner.reader-annotations" -}}
{{- $image := .runner.image | default .image -}}
{{- if and .logVolume (eq .logVolume.name "content") }}{{ dict "hook-runner/log" (printf "%s%s" .logVolume.path (include "hook-runner.first-shard" .)) "hook-runner/image" $image | toYaml }}{{ end -}}
{{- end -}}

{{/* Each shard has a log of its own: what stands behind the log's path in the first one's. */}}
{{- define "hook-runner.first-shard" -}}
{{ gt (int .shards) 1 | ternary ".shard-0" "" }}
{{- end -}}

{{/* Says "true" for a hook with an event at which the release's own resources are not there, or not for certain. */}}
{{- define "hook-runner.early" -}}
{{- $early := false -}}
{{- range .events }}{{ if has . (list "pre-install" "pre-upgrade" "pre-rollback" "post-delete") }}{{ $early = true }}{{ end }}{{ end -}}
{{- $early -}}
{{- end -}}

{{/* The event the hook is rendered for. Install and upgrade are told apart when the release is rendered; a rollback
     runs the hooks as an earlier revision rendered them, so a hook with other events names them all. */}}
{{- define "hook-runner.event" -}}
{{- $phase := ternary "install" "upgrade" .root.Release.IsInstall -}}
{{- $now := list -}}
{{- $other := false -}}
{{- range .events -}}
{{- if hasSuffix (printf "-%s" $phase) . }}{{ $now = append $now . }}{{ end -}}
{{- if not (or (hasSuffix "-install" .) (hasSuffix "-upgrade" .)) }}{{ $other = true }}{{ end -}}
{{- end -}}
{{- if or $other (empty $now) }}{{ $now = .events }}{{ end -}}
{{- join "," $now -}}
{{- end -}}

{{/* Labels of everything. The name is the hook's own, not the application's: a Service that selects the application by
     name and instance must not send requests to the hook's pod. Merged, so that no key is there twice. */}}
{{- define "hook-runner.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" (printf "%s-%s" (include "hook-runner.chart-name" .) .hook.name | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/component" "hook"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "hook-runner/hook" .hook.name
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
-}}
{{- mergeOverwrite $own (deepCopy .hook.labels) (deepCopy (.more | default dict)) | toYaml -}}
{{- end -}}

{{/* Metadata of what the Job needs: a resource of the release, or, for an event at which the release's resources are not
     there, a hook resource that nothing deletes while the Job runs: Helm removes hook-succeeded resources when its own
     --timeout is over, even below a Job that still runs. */}}
{{- define "hook-runner.companion-metadata" -}}
name: {{ .name | quote }}
{{- if ne .kind "ClusterRole" }}
namespace: {{ include "hook-runner.namespace" . | quote }}
{{- end }}
labels:
  {{- include "hook-runner.labels" . | nindent 2 }}
{{- $annotations := merge (dict) (.annotations | default dict) .hook.commonAnnotations }}
{{- if .hook.early }}
{{- $annotations = merge (dict "helm.sh/hook" (join "," .hook.events) "helm.sh/hook-weight" (sub .hook.weight 1 | toString) "helm.sh/hook-delete-policy" "before-hook-creation") $annotations }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
