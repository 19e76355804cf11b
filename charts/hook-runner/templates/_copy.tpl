{{/* What an application needs in its own pod to have the content on the volume before it starts: the copies that every run of
     the hook does, from the same image, with the same options. Each takes the hook's checked values:

         {{- $hook := include "hook-runner.values" . | fromJson -}}

     So a restart of the pod does to the volume what the hook's copy does, and a user's edit that `policy` keeps is kept. */}}

{{/* The initContainers: the one that brings the runner, and one for each copy. They prune nothing: what the application made since
     the release is for the hook to judge, once a release. */}}
{{- define "hook-runner.copy-containers" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.copy-containers") -}}
{{- include "hook-runner.installer" . -}}
{{- $place := 0 -}}
{{- range $copy := .work.copies -}}
{{- if $copy.always -}}
{{- $place = add1 $place -}}
{{- $name := eq $place 1 | ternary "copy-content" (printf "copy-content-%d" $place) -}}
{{- dict "hook" $ "copy" $copy "name" $name | include "hook-runner.copy-container" | nindent 0 -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hook-runner.copy-container" -}}
- name: {{ .name }}
  image: {{ .hook.image | quote }}
  imagePullPolicy: {{ .hook.imagePullPolicy }}
  command:
    {{- include "hook-runner.copy-words" . | nindent 4 }}
  resources:
    {{- toYaml .hook.runnerResources | nindent 4 }}
  securityContext:
    {{- include "hook-runner.container-security" .hook | nindent 4 }}
  volumeMounts:
    {{- include "hook-runner.claim-mount" .hook | nindent 4 }}
    {{- include "hook-runner.runner-mount" .hook | nindent 4 }}
    {{- with include "hook-runner.copy-mounts" .hook | fromYamlArray }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* The command line: what the copy's step would say, and what extraArgs override. */}}
{{- define "hook-runner.copy-words" -}}
{{- $words := list (include "hook-runner.program" .hook) "copy" -}}
{{- $options := include "hook-runner.step-options" (dict "hook" .hook "kind" "copy" "body" .copy.body) | fromJson -}}
{{- $names := list -}}
{{- range $row := (include "hook-runner.table" . | fromJson).options -}}
{{- if and (eq $row.of "copy") (ne $row.option "prune") -}}
{{- $names = append $names $row.option -}}
{{- if hasKey $options $row.key -}}
{{- $value := get $options $row.key -}}
{{- range kindIs "slice" $value | ternary $value (list $value) }}{{ $words = append $words (printf "--%s=%s" $row.option (include "hook-runner.word" .)) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .hook.extraArgs -}}
{{- if has (splitList "=" . | first | trimPrefix "--") $names }}{{ $words = append $words . }}{{ end -}}
{{- end -}}
{{- concat $words (list .copy.from .copy.to) | toYaml -}}
{{- end -}}

{{/* The mounts of the hook that a copy reads or fills, besides the claim. */}}
{{- define "hook-runner.copy-mounts" -}}
{{- $mounts := list -}}
{{- range $mount := .volumeMounts -}}
{{- $top := printf "%s/" (trimSuffix "/" $mount.mountPath) -}}
{{- $used := false -}}
{{- range $copy := $.work.copies -}}
{{- range list $copy.from $copy.to -}}
{{- $path := printf "%s/" (trimSuffix "/" .) -}}
{{- if and $copy.always (hasPrefix $top $path | or (hasPrefix $path $top)) }}{{ $used = true }}{{ end -}}
{{- end -}}
{{- end -}}
{{- if $used }}{{ $mounts = append $mounts $mount }}{{ end -}}
{{- end -}}
{{- toYaml $mounts -}}
{{- end -}}

{{/* The volumes of these containers: the claim, the runner's, and those of the mounts. */}}
{{- define "hook-runner.copy-volumes" -}}
{{- include "hook-runner.check-given" (dict "given" . "name" "hook-runner.copy-volumes") -}}
{{- include "hook-runner.claim-volume" . -}}
{{- with include "hook-runner.runner-volume" . }}{{ . | nindent 0 }}{{ end -}}
{{- $names := list -}}
{{- range include "hook-runner.copy-mounts" . | fromYamlArray }}{{ $names = append $names .name }}{{ end -}}
{{- range .volumes }}{{ if has .name $names }}{{ list . | toYaml | nindent 0 }}{{ end }}{{ end -}}
{{- end -}}
