{{/* An image given as a string, or as registry, repository, tag, digest and pullPolicy, becomes a string. Sets image and
     imagePullPolicy of the hook and of its runner, and imagePullSecrets as the API wants them. */}}
{{- define "hook-runner.images" -}}
{{- $hook := .hook -}}
{{- $global := .root.Values.global | default dict -}}
{{- range $owner := list $hook $hook.runner -}}
{{- $image := $owner.image | default "" -}}
{{- if kindIs "map" $image -}}
{{- $_ := set $owner "imagePullPolicy" ($image.pullPolicy | default $hook.imagePullPolicy) -}}
{{- $_ := set $hook "imagePullSecrets" (concat $hook.imagePullSecrets ($image.pullSecrets | default list)) -}}
{{- end -}}
{{- $_ := set $owner "imagePullPolicy" ($owner.imagePullPolicy | default $hook.imagePullPolicy) -}}
{{- if and (kindIs "map" $image) (not (kindIs "invalid" $image.tag)) (not (kindIs "string" $image.tag)) -}}
{{- fail (printf "hook-runner: image.tag is the number %s, and YAML may have changed it (1.10 is 1.1); put it in quotes: tag: %q" (toJson $image.tag) (toJson $image.tag)) -}}
{{- end -}}
{{- $_ := set $owner "image" (include "hook-runner.image" (dict "image" $image "registry" $global.imageRegistry)) -}}
{{- end -}}
{{- $secrets := list -}}
{{- range concat ($global.imagePullSecrets | default list) $hook.imagePullSecrets -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- $_ := set $hook "imagePullSecrets" (uniq $secrets) -}}
{{- end -}}

{{/* One image as a string. global.imageRegistry takes the place of its registry, as in other charts. */}}
{{- define "hook-runner.image" -}}
{{- $image := .image -}}
{{- if kindIs "map" $image -}}
{{- $tag := $image.digest | empty | ternary (printf ":%s" ($image.tag | default "latest")) (printf "@%s" $image.digest) -}}
{{- $image = $image.repository | empty | ternary "" (printf "%s%s" (list $image.registry $image.repository | compact | join "/") $tag) -}}
{{- end -}}
{{- if and $image .registry -}}
{{- $image = printf "%s/%s" (trimSuffix "/" .registry) (regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $image "") -}}
{{- end -}}
{{- $image -}}
{{- end -}}
