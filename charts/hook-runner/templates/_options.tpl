{{/*
Every option of the runner that is a value, once. What renders a command line, fills in a step, or checks a value reads it here.

    value     where it is in the values
    option    its name on the command line; the value's in kebab-case unless it is given
    of        what it is about: hook (the whole run), copy, wait or exec
    key       its name in a step of a hook file; the option's unless it is given
    is        what it must look like (hook-runner.forms), or one: one of these
    usual     the default, at which it counts as not given
    positive  0 is refused
    http      only waits over http have it
    sidecar   `hook-runner sidecar` has it as well
*/}}
{{- define "hook-runner.options" -}}
- {value: policy, of: copy, one: [replace, keep-modified, missing], usual: replace}
- {value: prune, of: copy, one: [none, owned, all], usual: none}
- {value: exclude, of: copy, is: glob}
- {value: include, of: copy, is: glob}
- {value: chown, of: copy, is: owner}
- {value: chmod, of: copy, is: change}
- {value: strictMetadata, of: copy, is: switch}
- {value: trustMtime, of: copy, is: switch}
- {value: followDestinationLinks, of: copy, is: switch}
- {value: ignoreSpace, of: copy, is: switch}
- {value: workers, of: copy, is: positive}
- {value: allowEmptySource, of: copy, is: switch}
- {value: dereference, of: copy, is: switch}
- {value: owner, of: copy, is: text}
- {value: sourceVersion, of: copy, is: text}
- {value: waitTimeout, of: wait, key: timeout, is: limit}
- {value: waitTryTimeout, of: wait, key: try-timeout, is: limit}
- {value: waitStatus, of: wait, key: status, is: status, http: true}
- {value: waitHeaders, option: wait-header, of: wait, key: headers, is: header, http: true}
- {value: waitAuthEnv, of: wait, key: auth-env, is: variable, http: true}
- {value: waitAuthFile, of: wait, key: auth-file, is: text, http: true}
- {value: waitUnixSocket, of: wait, key: unix-socket, is: text, http: true}
- {value: execTimeout, of: exec, key: timeout, is: limit}
- {value: execRetries, option: retries, of: exec, is: count}
- {value: backoff, of: exec, is: duration}
- {value: log, of: hook, is: file, sidecar: true}
- {value: runnerTimeout, option: timeout, of: hook, is: limit}
- {value: grace, of: hook, is: duration, sidecar: true}
- {value: state, of: hook, is: text, sidecar: true}
- {value: logMode, of: hook, is: mode}
- {value: logFailure, of: hook, one: [fail, warn], usual: fail}
- {value: logFormat, of: hook, one: [text, json], sidecar: true}
- {value: keep, of: hook, is: count}
- {value: keepBytes, of: hook, is: size}
- {value: keepDays, of: hook, is: count}
- {value: maxLog, of: hook, is: size, positive: true}
- {value: splitStreams, of: hook, is: switch}
- {value: timestamps, of: hook, is: switch}
- {value: annotate, of: hook, is: switch}
- {value: redact.env, option: redact-env, of: hook, is: variable}
- {value: redact.files, option: redact-file, of: hook, is: text}
- {value: redact.texts, option: redact, of: hook, is: text}
- {value: recordEvents, option: events, of: hook, is: switch, usual: "false"}
- {value: lockTimeout, of: hook, is: duration}
- {value: drain, of: hook, is: duration}
- {value: setsid, of: hook, is: switch}
- {value: caFile, of: hook, is: text, sidecar: true}
- {value: terminationLog, of: hook, is: text, sidecar: true}
- {value: metricsFile, of: hook, is: file}
- {value: sync, of: hook, is: text}
{{- end -}}

{{/* What an option's value must look like, what that is called, and an example. quoted: a number would not be what was written. */}}
{{- define "hook-runner.forms" -}}
text: {is: '.', called: text, such: vote-data}
file: {is: '[^/]$', called: "file's path", such: /data/hook-logs/vote.txt}
variable: {is: '^[A-Za-z_][A-Za-z0-9_]*$', called: "variable's name", such: DB_PASSWORD}
switch: {is: '^(true|false)$', called: switch, such: "true or false"}
count: {is: '^[0-9]{1,9}$', called: whole number, such: "3"}
positive: {is: '^[1-9][0-9]{0,8}$', called: whole number from 1 on, such: "4"}
size: {is: '^[0-9]{1,15}(\.[0-9]{1,9})? ?([kKmMgGtT][iI]?[bB]?|[bB])?$', called: size, such: 64MiB}
mode: {is: '^0*[67][0-7]{2}$', called: mode of a log, such: '"0640"', quoted: "0640 is 416"}
change: {is: '^(0*[0-7]{1,4}|[ugoa]*([-+=]([ugo]|[rwxXst]*))+(,[ugoa]*([-+=]([ugo]|[rwxXst]*))+)*)$', called: change of modes, such: '"0644"', quoted: "0644 is 420"}
owner: {is: '^[0-9]{1,10}:[0-9]{1,10}$', called: UID:GID in numbers, such: '"65532:65532"', quoted: "1:30 is 90"}
header: {is: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\\t -~]*$", called: header, such: '"Host: vote.example"'}
glob: {is: '^(![ \t]*[^ \t]|[^#! \t]|[ \t]+[^ \t])', called: pattern, such: '"*.pyc"'}
status: {is: '^[1-5](xx|[0-9]{2})(-[1-5][0-9]{2})?$', called: status of HTTP, such: "200, 2xx or 200-299"}
{{- end -}}

{{/* The rows of the table in full, as JSON: {"options": […]}. */}}
{{- define "hook-runner.table" -}}
{{- $rows := list -}}
{{- range include "hook-runner.options" . | fromYamlArray -}}
{{- $option := .option | default (kebabcase .value) -}}
{{- $rows = append $rows (merge . (dict "option" $option "key" $option "usual" "" "sidecar" false "http" false)) -}}
{{- end -}}
{{- dict "options" $rows | toJson -}}
{{- end -}}

{{/* What is given of an option, as JSON: {"values": […]}, empty where it is not, several where it is a list. Takes hook and row. */}}
{{- define "hook-runner.option-values" -}}
{{- $value := .hook -}}
{{- range splitList "." .row.value }}{{ $value = get $value . }}{{ end -}}
{{- $values := kindIs "slice" $value | ternary $value (list $value) -}}
{{- if or (kindIs "invalid" $value) (has (toString $value) (list "" (toString .row.usual))) }}{{ $values = list }}{{ end -}}
{{- dict "values" $values "many" (kindIs "slice" $value) | toJson -}}
{{- end -}}

{{/* A value as a word of a command line: a whole number without a fraction. */}}
{{- define "hook-runner.word" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The options of a command line as JSON: {"words": […]}. Takes hook, and of: what they are about. With sidecar.enabled those
     that the sidecar has. */}}
{{- define "hook-runner.option-words" -}}
{{- $words := list -}}
{{- range $row := (include "hook-runner.table" . | fromJson).options -}}
{{- if and (has $row.of $.of) (or $row.sidecar (not $.hook.sidecar.enabled)) -}}
{{- range (include "hook-runner.option-values" (dict "hook" $.hook "row" $row) | fromJson).values -}}
{{- $words = append $words (printf "--%s=%s" $row.option (include "hook-runner.word" .)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "words" $words | toJson -}}
{{- end -}}

{{/* The options of one step as JSON, by their names in a hook file: its own, and what the values say for each step that does not
     say it itself. Takes hook, kind and body. */}}
{{- define "hook-runner.step-options" -}}
{{- $options := dict -}}
{{- range $row := (include "hook-runner.table" . | fromJson).options -}}
{{- if eq $row.of $.kind -}}
{{- $own := get $.body $row.key -}}
{{- $given := dict "values" (kindIs "slice" $own | ternary $own (list $own)) "many" (kindIs "slice" $own) -}}
{{- if not (hasKey $.body $row.key) | or (kindIs "invalid" $own) -}}
{{- $given = include "hook-runner.option-values" (dict "hook" $.hook "row" $row) | fromJson -}}
{{- end -}}
{{- with $given.values -}}
{{- $value := $given.many | ternary . (first .) -}}
{{- if and (has $row.is (list "count" "positive")) (kindIs "string" $value) }}{{ $value = int64 $value }}{{ end -}}
{{- if and (eq $row.is "switch") (kindIs "string" $value) }}{{ $value = eq $value "true" }}{{ end -}}
{{- $_ := set $options $row.key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $options | toJson -}}
{{- end -}}

{{/* The hook file. What the values say of copies, waits and commands stands in each step: an option of the command line would
     override the step. */}}
{{- define "hook-runner.file" -}}
{{- $file := dict -}}
{{- range $list, $key := dict "steps" "steps" "onFailure" "on-failure" "finally" "finally" -}}
{{- $steps := list -}}
{{- range $step := get $ $list -}}
{{- range $kind, $body := $step -}}
{{- $full := deepCopy $body -}}
{{- range $key, $value := include "hook-runner.step-options" (dict "hook" $ "kind" $kind "body" $body) | fromJson -}}
{{- $_ := set $full $key $value -}}
{{- end -}}
{{- with $full.when -}}
{{- if kindIs "string" (get . "first-run") }}{{ if get . "first-run" }}{{ $_ := set . "first-run" (eq (get . "first-run") "true") }}{{ end }}{{ end -}}
{{- if regexMatch "^[0-9]+$" (toString .revision) }}{{ $_ := set . "revision" (int64 .revision) }}{{ end -}}
{{- end -}}
{{- $steps = append $steps (dict $kind $full) -}}
{{- end -}}
{{- end -}}
{{- with $steps }}{{ $_ := set $file $key . }}{{ end -}}
{{- end -}}
{{- toYaml $file -}}
{{- end -}}
