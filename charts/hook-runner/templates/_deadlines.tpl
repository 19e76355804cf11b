{{/* A duration such as 4m or 1m30s in whole seconds. "what" names the value in the message. */}}
{{- define "hook-runner.seconds" -}}
{{- $text := toString .text -}}
{{- include "hook-runner.check-duration" (dict "what" .what "value" .text) -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[dhms]" (regexReplaceAll "[0-9]+ms$" $text "") -1 -}}
{{- $count := trimSuffix (substr (int (sub (len .) 1)) (len .) .) . | atoi -}}
{{- $unit := substr (int (sub (len .) 1)) (len .) . -}}
{{- $seconds = add $seconds (mul $count (index (dict "d" 86400 "h" 3600 "m" 60 "s" 1) $unit)) -}}
{{- end -}}
{{- $seconds -}}
{{- end -}}

{{/*
Every deadline out of `timeout`, innermost first, so that each layer ends before the one around it and can say why:

    grace        the runner, between TERM and KILL to the command
    wait         each wait: three quarters of the attempt, so that one that is never met is told as such (69)
    attempt      the runner's --timeout of one attempt: the Job's less the pod's start and end
    termination  terminationGracePeriodSeconds: an eighth of the Job's, from 9 to 30 s, unless it is given; a third more than grace
    job          activeDeadlineSeconds, all attempts together
    helm         `helm --timeout` (helmTimeout): the Job's and its pod's end must fit into it, else Helm gives up on a
                 hook that still runs
*/}}
{{- define "hook-runner.deadlines" -}}
{{- $job := include "hook-runner.seconds" (dict "text" .timeout "what" "timeout") | int -}}
{{- $helm := include "hook-runner.seconds" (dict "text" .helmTimeout "what" "helmTimeout") | int -}}
{{- if lt $job 30 -}}
{{- fail (printf "hook-runner: timeout is %s; a Job needs at least 30s to start its pod and to end it in order" .timeout) -}}
{{- end -}}
{{- $termination := .terminationGracePeriodSeconds | default (min 30 (max 9 (div $job 8))) | int -}}
{{- if gt (add $job $termination) $helm -}}
{{- fail (printf "hook-runner: timeout %s and %d s for the pod's end do not fit into helmTimeout %s; lower timeout, or raise helmTimeout and call helm with --timeout %s" .timeout $termination .helmTimeout (printf "%ds" (add $job $termination 10))) -}}
{{- end -}}
{{- $grace := div (mul $termination 2) 3 -}}
{{- if .grace }}{{ $grace = include "hook-runner.seconds" (dict "text" .grace "what" "grace") | int }}{{ end -}}
{{- if ge (int $grace) $termination -}}
{{- fail (printf "hook-runner: grace %s does not fit into the %d s that the pod has for its end (terminationGracePeriodSeconds); lower it, such as %ds, or raise that" .grace $termination (div (mul $termination 2) 3)) -}}
{{- end -}}
{{- $attempt := sub (sub $job $termination) 10 -}}
{{- if lt $attempt 10 -}}
{{- fail (printf "hook-runner: timeout %s leaves %d s for an attempt, after %d s for the pod's end (terminationGracePeriodSeconds) and 10 s for its start; raise timeout, such as to %ds, or lower that" .timeout (max 0 $attempt) $termination (add $termination 60)) -}}
{{- end -}}
{{- dict "job" $job "termination" $termination "grace" $grace "attempt" $attempt "wait" (div (mul $attempt 3) 4) | toJson -}}
{{- end -}}

{{/* The runner's limits as its options say them: each wait's is there where there is a wait. */}}
{{- define "hook-runner.limits" -}}
{{- $_ := set . "grace" (.grace | default (printf "%ds" (int .seconds.grace))) -}}
{{- $_ := set . "runnerTimeout" (printf "%ds" (int .seconds.attempt)) -}}
{{- $limits := list (dict "what" "waitTimeout" "value" .waitTimeout) -}}
{{- range .work.steps }}{{ if eq .kind "wait" }}{{ $limits = append $limits (dict "what" (printf "%s.timeout" .at) "value" (get .body "timeout")) }}{{ end }}{{ end -}}
{{- range $limits -}}
{{- if .value -}}
{{- if ge (include "hook-runner.seconds" (dict "text" .value "what" .what) | int) (int $.seconds.attempt) -}}
{{- fail (printf "hook-runner: %s is %s, and an attempt has %d s, so that a wait that is never met would not be told as such; lower it, such as to %ds, or raise timeout" .what .value (int $.seconds.attempt) (int $.seconds.wait)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .work.waits (not .waitTimeout) }}{{ $_ := set . "waitTimeout" (printf "%ds" (int .seconds.wait)) }}{{ end -}}
{{- end -}}
