{{/* Refuses what renders and then fails at the API server, after the Job before it was deleted. */}}
{{- define "hook-runner.check-fields" -}}
{{- include "hook-runner.check-words" . -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$" .name) -}}
{{- fail (printf "hook-runner: name is %q; write at most 40 lower-case letters, digits and -, such as post-task" .name) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$" .fullname) -}}
{{- fail (printf "hook-runner: the Job would be called %q; give a fullnameOverride of at most 63 lower-case letters, digits and -, such as vote-post-task" .fullname) -}}
{{- end -}}
{{- if and (gt (int .shards) 1) (gt (len (printf "%s-%d" .fullname (int .shards))) 63) -}}
{{- fail (printf "hook-runner: the Job would be called %q, and with shards its pods' host names would have more than 63 letters; give a shorter fullnameOverride, such as vote-post-task" .fullname) -}}
{{- end -}}
{{- range $what := list "timeout" "helmTimeout" }}{{ include "hook-runner.check-duration" (dict "what" $what "value" (get $ $what) "positive" true) }}{{ end -}}
{{- range $what := list "resources" "runnerResources" }}{{ include "hook-runner.check-resources" (dict "what" $what "value" (get $ $what)) }}{{ end -}}
{{- include "hook-runner.check-quantity" (dict "what" "claim.size" "value" .claim.size) -}}
{{- if and .claim.create (eq (include "hook-runner.amount" .claim.size | float64) 0.0) -}}
{{- fail "hook-runner: claim.size is 0, which the API server refuses; write such as 1Gi" -}}
{{- end -}}
{{- include "hook-runner.check-quantity" (dict "what" "tmp.sizeLimit" "value" .tmp.sizeLimit) -}}
{{- range .env -}}
{{- if or (not .name) (contains "=" .name) -}}
{{- fail (printf "hook-runner: env has a variable called %q; write a name without =, such as {name: DB_HOST, value: db}" (.name | default "")) -}}
{{- end -}}
{{- if and (hasKey . "value") (kindIs "invalid" .value) -}}
{{- fail (printf "hook-runner: env %s has an empty value, which YAML takes as none; write {name: %s, value: \"\"} for a variable that is empty" .name .name) -}}
{{- end -}}
{{- if and (hasKey . "value") (not (kindIs "string" .value)) -}}
{{- fail (printf "hook-runner: env %s has the value %v, which is no string; put it in quotes: {name: %s, value: %q}" .name .value .name (toString .value)) -}}
{{- end -}}
{{- end -}}
{{- include "hook-runner.check-unique" (dict "what" "env" "key" "name" "items" .env "taken" (list "HOOK_RUNNER_RUN_ID" "HOOK_RUNNER_JOB" "HOOK_RUNNER_POD" "HOOK_RUNNER_NAMESPACE" "HOOK_RUNNER_NODE" "HOOK_RUNNER_RELEASE" "HOOK_RUNNER_REVISION" "HOOK_RUNNER_CHART" "HOOK_RUNNER_HOOK_EVENT" "HOOK_RUNNER_TERMINATION_GRACE_PERIOD")) -}}
{{- include "hook-runner.check-environment" . -}}
{{- $volumes := list "content" "tmp" "config" "hook-runner" -}}
{{- include "hook-runner.check-unique" (dict "what" "volumes" "key" "name" "items" .volumes "taken" $volumes) -}}
{{- $paths := list "/tmp" -}}
{{- if .claim.name }}{{ $paths = append $paths .claim.mountPath }}{{ end -}}
{{- if or .script .steps }}{{ $paths = append $paths "/config" }}{{ end -}}
{{- if and (ne .runner.from "image") (not .sidecar.enabled) }}{{ $paths = append $paths "/runner" }}{{ end -}}
{{- if and .claim.name (not (hasPrefix "/" .claim.mountPath) | or (regexMatch "(^|/)[.]{1,2}(/|$)|:" .claim.mountPath) (has .claim.mountPath (list "/" "/tmp" "/config" "/runner"))) -}}
{{- fail (printf "hook-runner: claim.mountPath is %q; write an absolute path that is not /, /tmp, /config or /runner, such as /data" .claim.mountPath) -}}
{{- end -}}
{{- include "hook-runner.check-unique" (dict "what" "volumeMounts" "key" "mountPath" "items" .volumeMounts "taken" $paths) -}}
{{- if and (eq (toString .podSecurityContext.runAsUser) "0") .podSecurityContext.runAsNonRoot -}}
{{- fail "hook-runner: podSecurityContext.runAsUser is 0 and runAsNonRoot is true, and the node refuses that; for a hook that needs root write podSecurityContext: {runAsUser: 0, runAsNonRoot: false}" -}}
{{- end -}}
{{- end -}}

{{/* A variable that the runner would read as one of its options is a value of the chart, or nothing else would know it. */}}
{{- define "hook-runner.check-environment" -}}
{{- $values := include "hook-runner.chart-options" . | fromYaml -}}
{{- range $row := (include "hook-runner.table" . | fromJson).options }}{{ $_ := set $values $row.option $row.value }}{{ end -}}
{{- range .env -}}
{{- $option := trimPrefix "HOOK_RUNNER_" (toString .name) | lower | replace "_" "-" -}}
{{- if and (hasPrefix "HOOK_RUNNER_" (toString .name)) (hasKey $values $option) -}}
{{- fail (printf "hook-runner: env has %s, which the runner reads as its option --%s; write the value %s instead" .name $option (get $values $option)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "hook-runner.check-duration" -}}
{{- $text := toString .value -}}
{{- if not (kindIs "string" .value) -}}
{{- fail (printf "hook-runner: %s is the number %s; write its unit with it, such as %ss or 4m" .what $text $text) -}}
{{- end -}}
{{- if not (regexMatch "^([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$" $text | and (regexMatch "^[0-9]" $text)) -}}
{{- fail (printf "hook-runner: %s is %q, which is no duration; write numbers with d, h, m, s or ms as in 90s, 4m or 1m30s" .what $text) -}}
{{- end -}}
{{- if and .positive (not (regexMatch "[1-9]" $text)) -}}
{{- fail (printf "hook-runner: %s is %s, which is over before anything has begun; write such as 90s or 4m, or leave it out" .what $text) -}}
{{- end -}}
{{- end -}}

{{/* Words of which there are only some; the schema looks at what is no template, this at what a template gave. */}}
{{- define "hook-runner.check-words" -}}
{{- $pull := list "Always" "IfNotPresent" "Never" -}}
{{- $words := dict
  "imagePullPolicy" $pull "runner.imagePullPolicy" $pull
  "runner.from" (list "install" "image" "volume")
  "restartPolicy" (list "Never" "OnFailure")
  "claim.accessMode" (list "ReadWriteOnce" "ReadWriteMany" "ReadWriteOncePod")
  "app.affinity" (list "auto" "required" "preferred" "none")
  "dnsPolicy" (list "" "ClusterFirst" "ClusterFirstWithHostNet" "Default" "None")
  "events" (list "pre-install" "post-install" "pre-upgrade" "post-upgrade" "pre-rollback" "post-rollback" "pre-delete" "post-delete" "test")
-}}
{{- range $what, $known := $words -}}
{{- $value := $ -}}
{{- range splitList "." $what }}{{ $value = get $value . }}{{ end -}}
{{- range kindIs "slice" $value | ternary $value (list $value) -}}
{{- if not (has . $known) -}}
{{- fail (printf "hook-runner: %s is %q; write one of %s" $what . (without $known "" | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Amounts that are none, and requests above their limits. */}}
{{- define "hook-runner.check-resources" -}}
{{- $what := .what -}}
{{- range $kind, $amounts := .value }}{{ if kindIs "map" $amounts }}{{ range $name, $amount := $amounts -}}
{{- include "hook-runner.check-quantity" (dict "what" (printf "%s.%s.%s" $what $kind $name) "value" $amount) -}}
{{- end }}{{ end }}{{ end -}}
{{- $limits := .value.limits | default dict -}}
{{- range $name, $amount := .value.requests -}}
{{- if and (hasKey $limits $name) (gt (include "hook-runner.amount" $amount | float64) (include "hook-runner.amount" (get $limits $name) | float64)) -}}
{{- fail (printf "hook-runner: %s.requests.%s is %v, which is more than its limit %v; lower the one or raise the other" $what $name $amount (get $limits $name)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity as a number. */}}
{{- define "hook-runner.amount" -}}
{{- $text := kindIs "string" . | ternary . (toJson .) -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- $factor := get (dict "" "1" "n" "0.000000001" "u" "0.000001" "m" "0.001" "k" "1e3" "M" "1e6" "G" "1e9" "T" "1e12" "P" "1e15" "E" "1e18" "Ki" "1024" "Mi" "1048576" "Gi" "1073741824" "Ti" "1099511627776" "Pi" "1125899906842624" "Ei" "1152921504606846976") (trimPrefix $number $text) -}}
{{- $factor | empty | ternary (float64 $text) (mulf (float64 $number) (float64 ($factor | default "0"))) -}}
{{- end -}}

{{/* As apimachinery's resource.ParseQuantity takes it. */}}
{{- define "hook-runner.check-quantity" -}}
{{- $text := kindIs "string" .value | ternary .value (toJson .value) -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$" $text) -}}
{{- fail (printf "hook-runner: %s is %q, which is no quantity of the API; write such as 500m for cpu, 64Mi for memory, 1Gi for a claim" .what $text) -}}
{{- end -}}
{{- end -}}

{{/* No two items of one key, and none of a key that the chart itself uses. */}}
{{- define "hook-runner.check-unique" -}}
{{- $seen := list -}}
{{- range .items -}}
{{- $value := get . $.key -}}
{{- if hasPrefix "/" $value }}{{ $value = $value | trimSuffix "/" | default "/" }}{{ end -}}
{{- if has $value $.taken -}}
{{- fail (printf "hook-runner: %s: the %s %s is used by the chart itself (%s); take another" $.what $.key $value (join ", " $.taken)) -}}
{{- end -}}
{{- if has $value $seen -}}
{{- fail (printf "hook-runner: %s: the %s %s is there twice; keep one" $.what $.key $value) -}}
{{- end -}}
{{- $seen = append $seen $value -}}
{{- end -}}
{{- end -}}
