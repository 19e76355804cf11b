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
{{- $call := `{{ include "hook-runner.hooks" (dict "root" . "hooks" (list "seed" "migrate")) }}` -}}
{{- include "hook-runner.check-call" (dict "given" . "name" "hook-runner.hooks" "takes" "root and hooks, a list of aliases" "keys" (list "root" "hooks") "call" $call) -}}
{{- range .hooks -}}
{{- if or (not (kindIs "string" .)) (not .) -}}
{{- fail (printf "hook-runner: hook-runner.hooks was given %v as a hook; give the names of the aliases: %s" . $call) -}}
{{- end -}}
{{- end -}}
{{- $root := .root -}}
{{- range $place, $alias := .hooks }}
{{ include "hook-runner.hook" (dict "root" $root "hook" $alias "weight" (mul 10 (add1 $place))) }}
{{- end }}
{{- end -}}

{{/* A template was called with what it takes. Without this a misspelt key would render nothing, and the release would be
     deployed without its hook. Takes given, name, takes, keys and call, an example. */}}
{{- define "hook-runner.check-call" -}}
{{- $ok := kindIs "map" .given -}}
{{- if $ok -}}
{{- range $key, $_ := .given }}{{ if not (has $key $.keys) }}{{ $ok = false }}{{ end }}{{ end -}}
{{- range $key := list "root" (last .keys) }}{{ if empty (get $.given $key) }}{{ $ok = false }}{{ end }}{{ end -}}
{{- end -}}
{{- if $ok }}{{ $ok = and (kindIs "map" .given.root) (hasKey .given.root "Values") (hasKey .given.root "Release") }}{{ end -}}
{{- if $ok }}{{ $ok = eq .name "hook-runner.hooks" | ternary (kindIs "slice" .given.hooks) (or (kindIs "string" .given.hook) (kindIs "map" .given.hook)) }}{{ end -}}
{{- if not $ok -}}
{{- fail (printf "hook-runner: %s takes %s, and was called otherwise; write %s" .name .takes .call) -}}
{{- end -}}
{{- end -}}

{{/* A template that takes the hook's checked values was given them, and not the chart's context. Takes given and name. */}}
{{- define "hook-runner.check-given" -}}
{{- $ok := false -}}
{{- if kindIs "map" .given }}{{ $ok = hasKey .given "work" }}{{ end -}}
{{- if not $ok -}}
{{- fail (printf "hook-runner: %s takes the hook's checked values, and was called otherwise; write {{- $hook := include \"hook-runner.values\" . | fromJson -}} and {{ include %q $hook }}" .name .name) -}}
{{- end -}}
{{- end -}}
