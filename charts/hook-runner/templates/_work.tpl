{{/* What the hook does, as JSON, whether it is written as copy, wait and command or as steps; what is checked and derived
     reads it here.

    steps     every step with its place: {at: steps[0].copy, kind: copy, body: {…}}
    copies    {what: the words that name it, from, to, body: its own options, always: whether every run does it}
    waits     {what, for}; a wait for a command is exec:WORDS
    executes  whether there is a command
*/}}
{{- define "hook-runner.work" -}}
{{- $steps := list -}}
{{- $copies := list -}}
{{- $waits := list -}}
{{- $executes := or .script .command .sidecar.enabled -}}
{{- range .copy -}}
{{- $copies = append $copies (dict "what" (printf "copy %s" .) "from" (splitList ":" . | first) "to" (regexReplaceAll "^[^:]*:" . "") "body" dict "always" true) -}}
{{- end -}}
{{- range .wait }}{{ $waits = append $waits (dict "what" "wait" "for" .) }}{{ end -}}
{{- range $list := list "steps" "onFailure" "finally" -}}
{{- range $place, $step := get $ $list -}}
{{- range $kind, $body := $step -}}
{{- $at := printf "%s[%d].%s" $list $place $kind -}}
{{- $steps = append $steps (dict "at" $at "kind" $kind "body" $body) -}}
{{- if eq $kind "copy" -}}
{{- $copies = append $copies (dict "what" (printf "%s, which copies %s," $at $body.from) "from" $body.from "to" $body.to "body" $body "always" (eq $list "steps" | and (empty $body.when))) -}}
{{- else if eq $kind "wait" -}}
{{- $waits = append $waits (dict "what" (printf "%s.for" $at) "for" (kindIs "slice" (get $body "for") | ternary (printf "exec:%s" (get $body "for" | join " ")) (get $body "for"))) -}}
{{- else -}}
{{- $executes = true -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "steps" $steps "copies" $copies "waits" $waits "executes" (not (empty $executes)) | toJson -}}
{{- end -}}
