{{/* What a template gave is text. Where a value is a number or a switch, the text becomes one, or is refused by name. */}}

{{/* Numbers and switches of the chart itself: their limits, and whether they may be absent. Options of the runner are in
     hook-runner.options; a test compares these rows with values.schema.json. */}}
{{- define "hook-runner.scalars" -}}
- {value: weight, is: whole, from: -1000000, to: 1000000, such: 10, absent: true}
- {value: shards, is: whole, from: 1, to: 1000, such: 4}
- {value: retries, is: whole, from: 0, to: 20, such: 2}
- {value: backoffLimit, is: whole, from: 0, to: 20, such: 2, absent: true}
- {value: activeDeadlineSeconds, is: whole, from: 30, to: 100000000, such: 240, absent: true}
- {value: terminationGracePeriodSeconds, is: whole, from: 3, to: 1000000, such: 30, absent: true}
- {value: ttlSecondsAfterFinished, is: whole, from: 0, to: 100000000, such: 600, absent: true}
- {value: claim.create, is: switch}
- {value: claim.keep, is: switch}
- {value: sidecar.enabled, is: switch}
- {value: serviceAccount.create, is: switch}
- {value: recordEvents, is: switch}
- {value: automountServiceAccountToken, is: switch, absent: true}
- {value: hostNetwork, is: switch}
- {value: shareProcessNamespace, is: switch}
{{- end -}}

{{/* Changes the hook's values, rendered. */}}
{{- define "hook-runner.typed" -}}
{{- $hook := . -}}
{{- range include "hook-runner.scalars" . | fromYamlArray -}}
{{- $owner := $hook -}}
{{- range splitList "." .value | initial }}{{ $owner = get $owner . }}{{ end -}}
{{- $key := splitList "." .value | last -}}
{{- $value := get $owner $key -}}
{{- if and .absent (has (toString $value) (list "" "<nil>")) -}}
{{- $_ := set $owner $key nil -}}
{{- else if and (eq .is "switch") (not (hasKey $owner $key) | or (kindIs "invalid" $value)) -}}
{{- $_ := set $owner $key false -}}
{{- else if eq .is "whole" -}}
{{- $_ := set $owner $key (include "hook-runner.whole" (dict "what" .value "value" $value "from" .from "to" .to "such" .such) | int64) -}}
{{- else -}}
{{- $_ := set $owner $key (include "hook-runner.switch" (dict "what" .value "value" $value) | eq "true") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Types the fields of the Kubernetes API in what is passed on to it. Changes the hook's values, with the aliases in place. */}}
{{- define "hook-runner.typed-fields" -}}
{{- $fields := include "hook-runner.fields" . | fromYaml -}}
{{- range $what := list "podSecurityContext" "containerSecurityContext" "env" "envFrom" "volumes" "volumeMounts" "initContainers" "extraContainers" "lifecycle" "tolerations" "affinity" "topologySpreadConstraints" "containerSpec" "podSpec" "jobSpec" -}}
{{- $_ := set $ $what (include "hook-runner.typed-field" (dict "what" $what "key" "" "value" (get $ $what) "fields" $fields) | fromJson).value -}}
{{- end -}}
{{- $_ := set .claim "spec" (include "hook-runner.typed-field" (dict "what" "claim.spec" "key" "" "value" .claim.spec "fields" $fields) | fromJson).value -}}
{{- end -}}

{{/* One field, however deep, as JSON: {"value": …}. Takes what, key, value and fields. */}}
{{- define "hook-runner.typed-field" -}}
{{- $value := .value -}}
{{- $what := .key | empty | ternary .what (printf "%s: %s" .what .key) -}}
{{- if and (kindIs "map" $value) (not (has .key .fields.map)) -}}
{{- $map := dict -}}
{{- range $key, $item := $value -}}
{{- $_ := set $map $key (include "hook-runner.typed-field" (dict "what" $.what "key" $key "value" $item "fields" $.fields) | fromJson).value -}}
{{- end -}}
{{- $value = $map -}}
{{- else if kindIs "slice" $value -}}
{{- $list := list -}}
{{- range $value -}}
{{- $list = append $list (include "hook-runner.typed-field" (dict "what" $.what "key" $.key "value" . "fields" $.fields) | fromJson).value -}}
{{- end -}}
{{- $value = $list -}}
{{- else if kindIs "string" $value -}}
{{- if or (has .key .fields.whole) (and (has .key .fields.either) (regexMatch "^[0-9]+$" $value)) -}}
{{- $value = include "hook-runner.whole" (dict "what" $what "value" $value "from" -2147483648 "to" 9007199254740991 "such" 1001) | int64 -}}
{{- else if has .key .fields.switch -}}
{{- $value = include "hook-runner.switch" (dict "what" $what "value" $value) | eq "true" -}}
{{- end -}}
{{- end -}}
{{- dict "value" $value | toJson -}}
{{- end -}}

{{/* A whole number as text. Takes what, value, from, to and such. */}}
{{- define "hook-runner.whole" -}}
{{- $text := include "hook-runner.word" .value -}}
{{- if not (regexMatch "^(0|-?[1-9][0-9]{0,15})$" $text) | or (lt (int64 $text) (int64 .from)) | or (gt (int64 $text) (int64 .to)) -}}
{{- fail (printf "hook-runner: %s is %q; write a whole number%s, such as %d" .what $text (lt (int64 .to) 1000000 | ternary (printf " from %d to %d" (int64 .from) (int64 .to)) "") (int64 .such)) -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* true or false as text. Takes what and value. */}}
{{- define "hook-runner.switch" -}}
{{- $text := toString .value -}}
{{- if not (has $text (list "true" "false")) -}}
{{- fail (printf "hook-runner: %s is %q; write true or false" .what $text) -}}
{{- end -}}
{{- $text -}}
{{- end -}}
