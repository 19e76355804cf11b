{{/* For a chart's NOTES.txt: where the log is, and the command that shows it once Helm has deleted the Job.

         {{ include "hook-runner.notes" . }}
*/}}
{{- define "hook-runner.notes" -}}
{{- $root := include "hook-runner.is-block" . | empty | ternary . .root -}}
{{- $hook := include "hook-runner.values" . | fromJson -}}
{{- $place := $hook.logVolume -}}
{{- if eq $hook.log "none" -}}
The hook {{ $hook.fullname }} keeps no log (log: none).
{{- else if not $place.claim -}}
The log of the hook {{ $hook.fullname }} is {{ $hook.log }} on the volume {{ $place.name }} of the hook's pod, which is no claim; read it where that volume is.
{{- else -}}
The log of the hook {{ $hook.fullname }} is {{ trimPrefix (printf "%s/" $place.mountPath) $hook.log }}{{ if gt (int $hook.shards) 1 }}.shard-0 to .shard-{{ sub (int $hook.shards) 1 }}{{ end }}{{ with $place.subPath }} in {{ . }}{{ end }} on the claim {{ $place.claim }}. To read it:

{{- $mount := dict "name" "log" "mountPath" $place.mountPath }}
{{- with $place.subPath }}{{ $_ := set $mount "subPath" . }}{{ end }}
{{- $command := list (eq $hook.runner.from "image" | ternary $hook.runner.path "/hook-runner") "logs" (printf "%s%s" $hook.log (include "hook-runner.first-shard" $hook)) }}
{{- if hasPrefix (printf "%s/" $place.mountPath) $hook.state }}{{ $command = append $command (printf "--state=%s" $hook.state) }}{{ end }}
{{- $container := dict "name" "log" "image" ($hook.runner.image | default $hook.image) "imagePullPolicy" $hook.imagePullPolicy "command" $command "volumeMounts" (list $mount) "securityContext" (include "hook-runner.container-security" $hook | fromYaml) }}
{{- $spec := dict "containers" (list $container) "volumes" (list (dict "name" "log" "persistentVolumeClaim" (dict "claimName" $place.claim))) "securityContext" (include "hook-runner.pod-security" $hook | fromYaml) "enableServiceLinks" false "automountServiceAccountToken" false }}
{{- with $hook.imagePullSecrets }}{{ $_ := set $spec "imagePullSecrets" . }}{{ end }}

  kubectl run {{ printf "%s-log" $hook.fullname | trunc 63 }} --namespace {{ include "hook-runner.namespace" (dict "root" $root "hook" $hook) }} --rm --stdin --quiet --restart=Never --image={{ $container.image }} --overrides='{{ dict "spec" $spec | toJson }}'
{{- end }}
`helm rollback` runs the hook only with the event post-rollback; it has {{ join ", " $hook.events }}.
{{- end -}}
