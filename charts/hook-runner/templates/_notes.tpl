{{/* For a chart's NOTES.txt: where the log is, and the command that shows it once Helm has deleted the Job.

         {{ include "hook-runner.notes" . }}
*/}}
{{- define "hook-runner.notes" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- if eq $hook.log "none" -}}
The hook {{ $hook.fullname }} keeps no log (log: none).
{{- else -}}
The log of the hook {{ $hook.fullname }} is {{ trimPrefix (printf "%s/" (trimSuffix "/" $hook.claim.mountPath)) $hook.log }}{{ with $hook.claim.subPath }} in {{ . }}{{ end }} on the claim {{ $hook.claim.name }}. To read it:

{{- $mount := include "hook-runner.claim-mount" $hook | fromYamlArray | first }}
{{- $container := dict "name" "log" "image" ($hook.runner.image | default $hook.image) "imagePullPolicy" $hook.imagePullPolicy "command" (list (eq $hook.runner.from "image" | ternary $hook.runner.path "/hook-runner") "logs" $hook.log) "volumeMounts" (list $mount) "securityContext" (include "hook-runner.container-security" $hook | fromYaml) }}
{{- $spec := dict "containers" (list $container) "volumes" (list (dict "name" "content" "persistentVolumeClaim" (dict "claimName" $hook.claim.name))) "securityContext" (include "hook-runner.pod-security" $hook | fromYaml) "enableServiceLinks" false "automountServiceAccountToken" false }}
{{- with $hook.imagePullSecrets }}{{ $_ := set $spec "imagePullSecrets" . }}{{ end }}

  kubectl run {{ printf "%s-log" $hook.fullname }} --namespace {{ include "hook-runner.namespace" (dict "root" $root "hook" $hook) }} --rm --stdin --quiet --restart=Never --image={{ $container.image }} --overrides='{{ dict "spec" $spec | toJson }}'
{{- end }}
`helm rollback` runs the hook only with the event post-rollback; it has {{ join ", " $hook.events }}.
{{- end -}}
