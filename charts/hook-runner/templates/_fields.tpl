{{/* Fields of a Job and a claim that are no texts. Written by charts/fields from the API's own schema. */}}
{{- define "hook-runner.fields" -}}
whole: [activeDeadlineSeconds, backoffLimit, backoffLimitPerIndex, completions, containerPort, defaultMode,
  deletionGracePeriodSeconds, expirationSeconds, failureThreshold, fsGroup, generation, hostPort, initialDelaySeconds, lun,
  maxExpirationSeconds, maxFailedIndexes, maxSkew, minDomains, mode, parallelism, partition, periodSeconds, priority, runAsGroup,
  runAsUser, seconds, succeededCount, successThreshold, supplementalGroups, terminationGracePeriodSeconds, timeoutSeconds,
  tolerationSeconds, ttlSecondsAfterFinished, weight]
either: [port]
switch: [allowPrivilegeEscalation, automountServiceAccountToken, blockOwnerDeletion, chapAuthDiscovery, chapAuthSession,
  controller, enableServiceLinks, hostIPC, hostNetwork, hostPID, hostProcess, hostUsers, manualSelector, optional, privileged,
  readOnly, readOnlyRootFilesystem, runAsNonRoot, setHostnameAsFQDN, shareProcessNamespace, sslEnabled, stdin, stdinOnce, suspend,
  tty]
map: [annotations, labels, limits, matchLabels, nodeSelector, options, overhead, requests, userAnnotations, volumeAttributes]
{{- end -}}
