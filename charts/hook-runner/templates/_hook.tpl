{{/*
What a chart includes. Renders everything a hook needs, the Job last, from the values below `hook-runner`:

    {{ include "hook-runner.hook" . }}

A chart with several hooks lists the dependency once for each, with an alias, and names the aliases in the order in which
they are to run:

    {{ include "hook-runner.hooks" (dict "root" . "hooks" (list "seed" "migrate")) }}

Helm puts this chart's defaults and its schema below a dependency's name or alias, and nowhere else: a block of values
from another place would be neither complete nor checked, so it is refused.
*/}}
{{- define "hook-runner.hook" -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- if $hook.claim.create }}
---
{{ include "hook-runner.claim" . }}
{{- end }}
{{- if $hook.serviceAccount.create }}
---
{{ include "hook-runner.service-account" . }}
{{- end }}
{{- include "hook-runner.rbac" . }}
---
{{ include "hook-runner.job" . }}
{{- end -}}

{{/* Several hooks. One that has no weight of its own gets 10, 20, … in the order written down: Helm sorts hooks of one
     weight by name. */}}
{{- define "hook-runner.hooks" -}}
{{- $root := .root -}}
{{- range $place, $alias := .hooks }}
{{ include "hook-runner.hook" (dict "root" $root "hook" $alias "weight" (mul 10 (add1 $place))) }}
{{- end }}
{{- end -}}
