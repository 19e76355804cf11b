{{/* The hook's values as JSON: templates rendered, checked, with what follows from them (fullname, weight, ordered,
     early, scriptName, log, work, mounts, seconds.{job,termination,grace,attempt}). Takes the chart's root context, or a dict of root, hook
     (an alias's name or values) and weight (used where the values have none). */}}
{{- define "hook-runner.values" -}}
{{- if or (not (kindIs "map" .)) (not (hasKey . "Values")) -}}
{{- include "hook-runner.check-call" (dict "given" . "name" "hook-runner.hook" "takes" "the context of a chart, or root and hook" "keys" (list "root" "weight" "hook") "call" `{{ include "hook-runner.hook" . }}, or, for a dependency with an alias, {{ include "hook-runner.hook" (dict "root" . "hook" "seed") }}`) -}}
{{- end -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $alias := "hook" -}}
{{- $hook := index $root.Values "hook-runner" -}}
{{- if include "hook-runner.is-block" . -}}
{{- $hook = .hook -}}
{{- if kindIs "string" .hook -}}
{{- $alias = .hook -}}
{{- $hook = index $root.Values .hook -}}
{{- if not $hook -}}
{{- fail (printf "hook-runner: the values have no %q; list the dependency in Chart.yaml with alias: %s" $alias $alias) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $hook = deepCopy ($hook | default dict) -}}
{{- include "hook-runner.check-complete" $hook -}}
{{- $hook = merge $hook (include "hook-runner.empty" . | fromYaml) -}}
{{- $literal := $hook.scriptFile -}}
{{- $hook = (include "hook-runner.rendered" (dict "root" $root "value" $hook) | fromJson).value -}}
{{- include "hook-runner.typed" $hook -}}
{{- include "hook-runner.aliases" $hook -}}
{{- include "hook-runner.typed-fields" $hook -}}
{{- $_ := set $hook "name" ($hook.name | default $alias) -}}
{{- $_ := set $hook "ordered" (not (kindIs "invalid" $hook.weight)) -}}
{{- $_ := set $hook "weight" (kindIs "invalid" $hook.weight | ternary (.weight | default 10) $hook.weight | int) -}}
{{- $_ := set $hook "early" (include "hook-runner.early" $hook | eq "true") -}}
{{- $_ := set $hook "fullname" (include "hook-runner.fullname" (dict "root" $root "hook" $hook)) -}}
{{- $_ := set $hook "scriptName" ($literal | empty | ternary (printf "%s.sh" $hook.name) (base $literal)) -}}
{{- if $literal -}}
{{- $text := $root.Files.Get $literal -}}
{{- if not $text -}}
{{- fail (printf "hook-runner: scriptFile %q is not in the chart, or is empty; give the path of a file below the chart's directory that .helmignore does not exclude, such as files/post-install.sh" $literal) -}}
{{- end -}}
{{- if $hook.script }}{{ fail "hook-runner: script and scriptFile are both given; the hook has one script, keep that" }}{{ end -}}
{{- $_ := set $hook "script" $text -}}
{{- end -}}
{{- $_ := set $hook "work" (include "hook-runner.work" $hook | fromJson) -}}
{{- include "hook-runner.default-names" $hook -}}
{{- $_ := set $hook "logVolume" (include "hook-runner.log-volume" $hook | fromJson) -}}
{{- include "hook-runner.images" (dict "root" $root "hook" $hook) -}}
{{- include "hook-runner.check" $hook -}}
{{- $_ := set $hook "seconds" (include "hook-runner.deadlines" $hook | fromJson) -}}
{{- include "hook-runner.limits" $hook -}}
{{- $hook | toJson -}}
{{- end -}}

{{/* The lists and maps, empty: `null` takes a default away (Helm's way to say so), and means the same as empty. */}}
{{- define "hook-runner.empty" -}}
{{- range list "copy" "exclude" "include" "wait" "waitHeaders" "command" "args" "steps" "onFailure" "finally" "extraArgs" "imagePullSecrets" "env" "extraEnv" "extraEnvVars" "envFrom" "volumes" "extraVolumes" "volumeMounts" "extraVolumeMounts" "initContainers" "extraContainers" "sidecars" "tolerations" "topologySpreadConstraints" "hostAliases" }}
{{ . }}: []
{{- end }}
{{- range list "annotations" "labels" "commonLabels" "commonAnnotations" "podLabels" "podAnnotations" "lifecycle" "lifecycleHooks" "resources" "runnerResources" "nodeSelector" "affinity" "dnsConfig" "containerSpec" "podSpec" "jobSpec" }}
{{ . }}: {}
{{- end }}
claim: {annotations: {}, spec: {}}
app: {matchLabels: {}}
redact: {env: [], files: [], texts: []}
sidecar: {args: []}
serviceAccount: {annotations: {}}
{{- end -}}

{{/* Says "true" for a dict of root and hook. */}}
{{- define "hook-runner.is-block" -}}
{{- if and (hasKey . "root") (hasKey . "hook") }}true{{ end -}}
{{- end -}}

{{/* Renders the templates in every string of a value, however deep. Gives {"value": …} as JSON. */}}
{{- define "hook-runner.rendered" -}}
{{- $root := .root -}}
{{- $value := .value -}}
{{- if kindIs "map" $value -}}
{{- $map := dict -}}
{{- range $key, $item := $value -}}
{{- $_ := set $map $key (include "hook-runner.rendered" (dict "root" $root "value" $item) | fromJson).value -}}
{{- end -}}
{{- $value = $map -}}
{{- else if kindIs "slice" $value -}}
{{- $list := list -}}
{{- range $value -}}
{{- $list = append $list (include "hook-runner.rendered" (dict "root" $root "value" .) | fromJson).value -}}
{{- end -}}
{{- $value = $list -}}
{{- else if kindIs "string" $value -}}
{{- if contains "{{" $value }}{{ $value = tpl $value $root }}{{ end -}}
{{- end -}}
{{- dict "value" $value | toJson -}}
{{- end -}}

{{/* What is named after the hook unless a name is given: the claim it makes, its account, its log. The log is in a
     directory beside the content, which may be served to the world. */}}
{{- define "hook-runner.default-names" -}}
{{- if .claim.create }}{{ $_ := set .claim "name" (.claim.name | default .fullname) }}{{ end -}}
{{- if and (or .sidecar.enabled .rbac.rules .rbac.clusterRules .recordEvents) (not .serviceAccount.name) }}{{ $_ := set .serviceAccount "create" true }}{{ end -}}
{{- if .serviceAccount.create }}{{ $_ := set .serviceAccount "name" (.serviceAccount.name | default .fullname) }}{{ end -}}
{{- if not .log -}}
{{- $mount := .claim.mountPath -}}
{{- range .work.copies -}}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .to)) (printf "%s/hook-logs/" $mount) -}}
{{- fail (printf "hook-runner: %s fills the whole claim, so the log would be among the content; copy to a directory of it (%s/content), or say where the log is to be (log: %s/post-hook-output.txt)" .what $mount $mount) -}}
{{- end -}}
{{- end -}}
{{- $_ := set . "log" (printf "%s/hook-logs/%s.txt" .claim.mountPath .fullname) -}}
{{- end -}}
{{- end -}}
