{{/* Refuses names, labels and references of the pod that the API server or the node would refuse later. */}}
{{- define "hook-runner.check-pod" -}}
{{- range $what := list "serviceAccount.name" "priorityClassName" "runtimeClassName" "schedulerName" "namespaceOverride" "extraEnvVarsCM" "extraEnvVarsSecret" -}}
{{- $value := $ -}}
{{- range splitList "." $what }}{{ $value = get $value . }}{{ end -}}
{{- include "hook-runner.check-name" (dict "what" $what "value" $value) -}}
{{- end -}}
{{- if ne .claim.storageClass "-" }}{{ include "hook-runner.check-name" (dict "what" "claim.storageClass" "value" .claim.storageClass) }}{{ end -}}
{{- range .imagePullSecrets -}}
{{- if not .name -}}
{{- fail "hook-runner: imagePullSecrets has one without a name; write such as [registry] or [{name: registry}]" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .runner.from "image") (not (hasPrefix "/" .runner.path)) -}}
{{- fail (printf "hook-runner: runner.path is %q; write where the hook's image has the program, such as /hook-runner" .runner.path) -}}
{{- end -}}
{{- range $what := list "annotations" "commonAnnotations" -}}
{{- range $key, $value := dict "helm.sh/hook" "events" "helm.sh/hook-weight" "weight" -}}
{{- if hasKey (get $ $what) $key -}}
{{- fail (printf "hook-runner: %s has %s, which the chart makes of %s; write %s instead" $what $key $value $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range .imagePullSecrets }}{{ include "hook-runner.check-name" (dict "what" "imagePullSecrets" "value" .name) }}{{ end -}}
{{- range $what, $image := dict "image" .image "runner.image" (.runner.image | default "hook-runner") -}}
{{- if not (regexMatch "^((\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9.-]+)(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[a-f0-9]{64})?$" $image) -}}
{{- fail (printf "hook-runner: %s is %q, which is no image's name; write such as registry.example/team/vote:1.0.0" $what $image) -}}
{{- end -}}
{{- end -}}
{{- range $what := list "labels" "podLabels" "nodeSelector" }}{{ include "hook-runner.check-labels" (dict "what" $what "map" (get $ $what)) }}{{ end -}}
{{- include "hook-runner.check-labels" (dict "what" "app.matchLabels" "map" .app.matchLabels) -}}
{{- range $what := list "annotations" "commonAnnotations" "podAnnotations" }}{{ range $key, $_ := get $ $what }}{{ include "hook-runner.check-key" (dict "what" $what "key" $key) }}{{ end }}{{ end -}}
{{- include "hook-runner.check-volumes" . -}}
{{- $containers := list "hook" -}}
{{- if .sidecar.enabled }}{{ $containers = append $containers "hook-runner" }}{{ end -}}
{{- if eq .runner.from "install" }}{{ $containers = append $containers "hook-runner-install" }}{{ end -}}
{{- range $what := list "initContainers" "extraContainers" -}}
{{- range get $ $what }}{{ include "hook-runner.check-label-name" (dict "what" $what "value" (.name | default "")) }}{{ end -}}
{{- end -}}
{{- include "hook-runner.check-unique" (dict "what" "initContainers and extraContainers" "key" "name" "items" (concat .initContainers .extraContainers) "taken" $containers) -}}
{{- end -}}

{{/* Each mount is of a volume that is there, on a path that the API takes. */}}
{{- define "hook-runner.check-volumes" -}}
{{- $names := list "tmp" -}}
{{- if .claim.name }}{{ $names = append $names "content" }}{{ end -}}
{{- range .volumes -}}
{{- include "hook-runner.check-label-name" (dict "what" "volumes" "value" (.name | default "")) -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- range .volumeMounts -}}
{{- if or (not .name) (not .mountPath) -}}
{{- fail (printf "hook-runner: volumeMounts has %s, without a name or a mountPath; write such as {name: settings, mountPath: /etc/app}" (toJson .)) -}}
{{- end -}}
{{- if not (has .name $names) -}}
{{- fail (printf "hook-runner: volumeMounts: %s is mounted from the volume %s, which is not there (%s); add it to volumes" (toString .mountPath) (toString .name) (join ", " $names)) -}}
{{- end -}}
{{- if not (regexMatch "^/[^:]*$" (toString .mountPath)) | or (regexMatch "(^|/)[.]{1,2}(/|$)" (toString .mountPath)) -}}
{{- fail (printf "hook-runner: volumeMounts: the mountPath of %s is %q; write an absolute path without a colon and without .., such as /etc/app" .name (toString .mountPath)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* As the API wants the name of an object: a DNS subdomain. */}}
{{- define "hook-runner.check-name" -}}
{{- if and .value (not (regexMatch "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" .value)) -}}
{{- fail (printf "hook-runner: %s is %q, which the API server refuses; write lower-case letters, digits, - and ., such as vote-data" .what .value) -}}
{{- end -}}
{{- end -}}

{{/* As the API wants the name of a volume or a container: a DNS label. */}}
{{- define "hook-runner.check-label-name" -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" .value) -}}
{{- fail (printf "hook-runner: %s has one called %q; write a name of lower-case letters, digits and -, such as wait-for-db" .what .value) -}}
{{- end -}}
{{- end -}}

{{/* Keys and values of labels. */}}
{{- define "hook-runner.check-labels" -}}
{{- $what := .what -}}
{{- range $key, $value := .map -}}
{{- include "hook-runner.check-key" (dict "what" $what "key" $key) -}}
{{- if not (regexMatch "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" $value) -}}
{{- fail (printf "hook-runner: %s: %s has the value %q; the API takes at most 63 letters, digits, -, _ and ., such as web-1; free text goes into annotations" $what $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A key of labels or annotations. */}}
{{- define "hook-runner.check-key" -}}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" .key) -}}
{{- fail (printf "hook-runner: %s: %q is no key; write such as team or example.com/team" .what .key) -}}
{{- end -}}
{{- end -}}
