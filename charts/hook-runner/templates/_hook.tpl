{{/*
What a chart includes. Renders everything the hook needs, the Job last, from the values below `hook-runner`:

    {{ include "hook-runner.hook" . }}

A chart with several hooks lists the dependency once for each, with an alias, and names the alias's values:

    {{ include "hook-runner.hook" (dict "root" . "hook" .Values.migrate) }}

Helm puts this chart's defaults and its schema below a dependency's name or alias, and nowhere else: a block of values
from another place would be neither complete nor checked, so it is refused.
*/}}
{{- define "hook-runner.hook" -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- if or $hook.script $hook.scriptFile }}
---
{{ include "hook-runner.configmap" . }}
{{- end }}
{{- if $hook.claim.create }}
---
{{ include "hook-runner.claim" . }}
{{- end }}
{{- if $hook.sidecar.enabled }}
---
{{ include "hook-runner.rbac" . }}
{{- end }}
---
{{ include "hook-runner.job" . }}
{{- end -}}

{{/* Says "true" for the second form. */}}
{{- define "hook-runner.is-block" -}}
{{- if and (hasKey . "root") (hasKey . "hook") }}true{{ end -}}
{{- end -}}

{{/* The hook's values as JSON, checked, with what follows from them: fullname, scriptName and
     seconds.{job,termination,grace,attempt}. Templates in image, env, claim.name and app.matchLabels are rendered in
     the root context, so that a chart states its image and names once. */}}
{{- define "hook-runner.values" -}}
{{- $root := . -}}
{{- $hook := dict -}}
{{- if include "hook-runner.is-block" . -}}
{{- $root = .root -}}
{{- $hook = deepCopy (.hook | default dict) -}}
{{- else -}}
{{- $hook = deepCopy (index $root.Values "hook-runner" | default dict) -}}
{{- end -}}
{{- include "hook-runner.check" $hook -}}
{{- $_ := set $hook "image" (tpl $hook.image $root) -}}
{{- $_ := set $hook "env" (tpl (toYaml $hook.env) $root | fromYamlArray) -}}
{{- $_ := set $hook.claim "name" (tpl $hook.claim.name $root) -}}
{{- $_ := set $hook.app "matchLabels" (tpl (toYaml $hook.app.matchLabels) $root | fromYaml) -}}
{{- $_ := set $hook "fullname" (include "hook-runner.fullname" (dict "release" $root.Release.Name "name" $hook.name)) -}}
{{- $_ := set $hook "scriptName" (ternary (base $hook.scriptFile) (printf "%s.sh" $hook.name) (not (empty $hook.scriptFile))) -}}
{{- if not $hook.log -}}
{{- $_ := set $hook "log" (printf "%s/post-hook-output.txt" (trimSuffix "/" $hook.claim.mountPath)) -}}
{{- end -}}
{{- if and $hook.claim.create (not $hook.claim.name) -}}
{{- $_ := set $hook.claim "name" $hook.fullname -}}
{{- end -}}
{{- $_ := set $hook "seconds" (include "hook-runner.deadlines" $hook | fromJson) -}}
{{- if $hook.scriptFile -}}
{{- $text := $root.Files.Get $hook.scriptFile -}}
{{- if not $text -}}
{{- fail (printf "hook-runner: scriptFile %q is not in the chart, or is empty; give the path of a file below the chart's directory that .helmignore does not exclude" $hook.scriptFile) -}}
{{- end -}}
{{- $_ := set $hook "script" $text -}}
{{- end -}}
{{- toJson $hook -}}
{{- end -}}

{{/* RELEASE-NAME in at most 52 bytes, so that with a pod's suffix it still is a label's value (63). A release that is too
     long is cut, and told from others that begin like it by a hash; the hook's name is not, it tells the hooks apart. */}}
{{- define "hook-runner.fullname" -}}
{{- $full := printf "%s-%s" .release .name -}}
{{- if gt (len $full) 52 -}}
{{- $room := int (sub 44 (len .name)) -}}
{{- $full = printf "%s-%s-%s" (trunc $room .release | trimSuffix "-" | trimSuffix ".") (sha256sum .release | trunc 6) .name -}}
{{- end -}}
{{- $full -}}
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

{{/* Labels. The name is the hook's own, not the application's: a Service that selects the application by name and
     instance must not send requests to the hook's pod. */}}
{{- define "hook-runner.labels" -}}
app.kubernetes.io/name: {{ printf "%s-%s" .root.Chart.Name .hook.name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: hook
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .hook.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Helm's annotations of a hook resource. before-hook-creation as well as hook-succeeded: a failed Job stays to be
     looked at, and without the first it would block the next release by its name. */}}
{{- define "hook-runner.annotations" -}}
helm.sh/hook: {{ join "," .hook.events | quote }}
helm.sh/hook-weight: {{ .weight | int | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
