{{/* What values.schema.json cannot say: values that do not fit each other. */}}

{{/* The cache may be there twice for a moment (its index grows by copying). Heads and bodies are being read, work is under way, and records wait
     for Redis, each within a bound of its own. The rest of the process is below 64 MiB. */}}
{{- define "tokend.checkMemory" -}}
{{- $limit := (default dict .Values.resources.limits).memory -}}
{{- if not $limit -}}
{{- fail "resources.limits.memory: it is not set. tokend never runs without one: a leak would otherwise take the node's memory. The default is 256Mi." -}}
{{- end -}}
{{- $cache := include "tokend.bytes" (list "config.cache.memory.max_bytes" (default "64MiB" (default dict (default dict .Values.config.cache).memory).max_bytes)) | int64 -}}
{{- $least := add (mul 2 $cache) 67108864 -}}
{{- $limits := default dict .Values.config.limits -}}
{{- range $name, $usual := dict "inflight" "32MiB" "heads" "8MiB" "flights" "16MiB" "queue" "8MiB" -}}
  {{- $bound := include "tokend.bytes" (list (printf "config.limits.%s" $name) (default $usual (get $limits $name))) | int64 -}}
  {{- $least = add $least $bound -}}
{{- end -}}
{{- if lt (include "tokend.bytes" (list "resources.limits.memory" $limit) | int64) $least -}}
{{- fail (printf "resources.limits.memory: %v is less than 2 × config.cache.memory.max_bytes + config.limits.inflight + config.limits.heads + config.limits.flights + config.limits.queue + 64Mi = %dMi. Raise it, or lower the others." $limit (div (add $least 1048575) 1048576)) -}}
{{- end -}}
{{- end }}

{{- define "tokend.checkCallers" -}}
{{- $callers := .Values.callers -}}
{{- include "tokend.refuseNulls" (list "callers.list" $callers.list) -}}
{{- $root := . -}}
{{- range $index, $caller := $callers.list -}}
  {{- include "tokend.checkCaller" (list $root (printf "callers.list[%d]" $index) $caller) -}}
{{- end -}}
{{- $tokens := include "tokend.callers.by" (list . "token") | fromJsonArray -}}
{{- if and $tokens (not $callers.existingSecret) -}}
{{- fail (printf "callers.existingSecret: callers are listed, and nothing says where the tokens of %s are. Name a Secret with one key for each of them, or say by what else they prove themselves: serviceAccount." (join ", " $tokens)) -}}
{{- end -}}
{{- if and $callers.existingSecret (not $callers.list) -}}
{{- fail "callers.list: a Secret with tokens is named, and no caller. List at least one: {name: web}." -}}
{{- end -}}
{{- if and $callers.existingSecret (not $tokens) -}}
{{- fail "callers.existingSecret: it is for tokens, and no caller of the list proves itself by one. Remove it." -}}
{{- end -}}
{{- if and $callers.serviceAccountIssuer (not (include "tokend.callers.by" (list . "serviceAccount") | fromJsonArray)) -}}
{{- fail "callers.serviceAccountIssuer: no caller is a service account. List one: {name: web, serviceAccount: {name: web}}, or remove it." -}}
{{- end -}}
{{- if and $callers.list .Values.secrets.msi.existingSecret -}}
{{- fail "secrets.msi.existingSecret: callers are listed, and then /msi/token takes the token of one of them and nothing else. Remove it; give the caller the door (doors: [msi]), and name it to the template: include \"tokend.identityEnv\" (list .Subcharts.tokend \"NAME\")." -}}
{{- end -}}
{{- if and $callers.list .Values.sidecar.enabled .Values.sidecar.existingConfigMap -}}
{{- fail "callers.list: with sidecar.existingConfigMap the chart does not write the configuration, and every container of the Pod could take tokens. Write `callers` into that ConfigMap, mount their tokens with secrets.extra ({callers: NAME-OF-SECRET}), and remove it here." -}}
{{- end -}}
{{- end }}

{{/* One caller: (list $ "callers.list[0]" caller). Where it can prove itself in this way at all is a matter of how tokend runs. */}}
{{- define "tokend.checkCaller" -}}
{{- $root := index . 0 -}}
{{- $at := index . 1 -}}
{{- $caller := index . 2 -}}
{{- $proof := include "tokend.callers.proof" $caller -}}
{{- $values := $root.Values -}}
{{- if contains " and " $proof -}}
{{- fail (printf "%s: it has %s, and a caller proves itself in one way. Keep one of them, and list another caller for the other." $at $proof) -}}
{{- end -}}
{{- if and $caller.key (ne $proof "token") -}}
{{- fail (printf "%s.key: it names a token in callers.existingSecret, and this caller proves itself by %s. Remove one of them." $at $proof) -}}
{{- end -}}
{{- if eq $proof "serviceAccount" -}}
  {{- if $values.sidecar.enabled -}}
  {{- fail (printf "%s.serviceAccount: all containers of a Pod have the same service account, so that a sidecar could not tell them apart. Give the caller a token (callers.existingSecret), or run tokend by standalone.enabled." $at) -}}
  {{- end -}}
  {{- if and $values.standalone.enabled (not $values.callers.serviceAccountIssuer) -}}
  {{- fail (printf "%s.serviceAccount: nothing says who issues the cluster's service-account tokens. Set callers.serviceAccountIssuer to the `issuer` of `kubectl get --raw /.well-known/openid-configuration`." $at) -}}
  {{- end -}}
{{- end -}}
{{- if and (eq $proof "certificate") (or $values.sidecar.enabled (and $values.standalone.enabled (not $values.standalone.tls.clientCAKey))) -}}
{{- fail (printf "%s.certificate: tokend asks for no client certificates. Name the key of their CA in standalone.tls.clientCAKey (standalone.enabled), or give the caller another proof." $at) -}}
{{- end -}}
{{- if and (has $proof (list "peer" "listener")) $values.standalone.enabled -}}
{{- fail (printf "%s.%s: nobody reaches a socket or the loopback of the Deployment's Pods. Give the caller another proof: a token, serviceAccount, or certificate." $at $proof) -}}
{{- end -}}
{{- if and (eq $proof "peer") $values.sidecar.enabled (not $values.socket.enabled) -}}
{{- fail (printf "%s.peer: there is no socket. Set socket.enabled: true, or give the caller a token." $at) -}}
{{- end -}}
{{- end }}

{{- define "tokend.checkSocket" -}}
{{- if not (or .Values.socket.enabled .Values.socket.loopback) -}}
{{- fail "socket.loopback: it is false, and there is no socket to ask at in its place. Set socket.enabled: true for a sidecar, or leave it out." -}}
{{- end -}}
{{- end }}

{{/* A secret as a literal in the Pod's specification is as readable as one in a ConfigMap. */}}
{{- define "tokend.checkEnv" -}}
{{- include "tokend.refuseNulls" (list "extraEnv" .Values.extraEnv) -}}
{{- range $index, $variable := .Values.extraEnv -}}
  {{- $at := printf "extraEnv[%d]" $index -}}
  {{- $value := toString (default "" $variable.value) -}}
  {{- if and $value (regexMatch "(?i)(__INLINE|PASSWORD|CLIENT_SECRET)$" $variable.name) -}}
    {{- fail (printf "%s: %s is a secret and stands in the values. Write valueFrom.secretKeyRef in place of value." $at $variable.name) -}}
  {{- end -}}
  {{- include "tokend.refuseSecrets" (list (printf "%s.value" $at) $value) -}}
  {{- if has $variable.name (list "TOKEND_LISTEN" "TOKEND_LISTEN_MODE" "TOKEND_ADMIN_LISTEN" "TOKEND_CONFIG") -}}
    {{- fail (printf "%s: the chart decides on %s, because probes and mounts have to fit. Remove it." $at $variable.name) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Names of Services are stricter than those of anything else here: a release may be called 1st or my.app. */}}
{{- define "tokend.checkName" -}}
{{- $name := include "tokend.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $name) -}}
{{- fail (printf "fullnameOverride: the objects would be called %q, and Kubernetes refuses that name for a Service. Write one that begins with a letter and has lower-case letters, digits and `-` only." $name) -}}
{{- end -}}
{{- end }}

{{- define "tokend.checkStandalone" -}}
{{- $values := .Values.standalone -}}
{{- include "tokend.checkName" . -}}
{{- if .Values.sidecar.enabled -}}
{{- fail "standalone.enabled: sidecar.enabled is set as well, and a release has one configuration. Install two releases." -}}
{{- end -}}
{{- if .Values.socket.enabled -}}
{{- fail "socket.enabled: a Deployment behind a Service has no socket that another Pod could reach. Remove it, or run tokend as a sidecar." -}}
{{- end -}}
{{- if not $values.tls.existingSecret -}}
{{- fail "standalone.tls.existingSecret: tokens would cross the network in the clear. Name a Secret of type kubernetes.io/tls for the Service's name; cert-manager can make it." -}}
{{- end -}}
{{- if not .Values.callers.list -}}
{{- fail "callers.list: whoever reaches the Service could take every token. List the callers ({name: web}), and name the Secret with their tokens in callers.existingSecret; or their service accounts: {name: web, serviceAccount: {name: web}}." -}}
{{- end -}}
{{- if not .Values.config.apps -}}
{{- fail "config.apps: no app is configured, and tokend would not start. Write at least one: config.apps.NAME with authority, client_id and credential." -}}
{{- end -}}
{{- if and $values.service.trafficDistribution (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "standalone.service.trafficDistribution: Kubernetes %s does not have it; 1.30 does. Leave it empty." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- include "tokend.checkReplicas" . -}}
{{- include "tokend.checkGrace" . -}}
{{- end }}

{{/* Injected Pods take their configuration and Secrets from their own namespace; what stands here would protect nothing. */}}
{{- define "tokend.checkInjection" -}}
{{- $configMap := .Values.injection.config -}}
{{- if .Values.callers.list -}}
{{- fail (printf "callers.list: injection does not read it, and every container of the Pod could take tokens. Write `callers` into the ConfigMap of the Pod's namespace (injection.config: %s), their tokens into the Secret there (injection.secret), and remove it here." $configMap) -}}
{{- end -}}
{{- if not .Values.socket.loopback -}}
{{- fail "socket.loopback: injection does not read it: an injected tokend listens at 127.0.0.1:8650 always. Remove it, or use the named templates (sidecar.enabled)." -}}
{{- end -}}
{{- if .Values.socket.enabled -}}
{{- fail "socket.enabled: injection does not read it. Name the containers that get the socket in injection.socket (`*` is all of them), or in the Pod's annotation tokend.dev/socket, and remove it here." -}}
{{- end -}}
{{- $secrets := .Values.secrets -}}
{{- $given := dict "credentials.existingSecret" $secrets.credentials.existingSecret "redis.existingSecret" $secrets.redis.existingSecret "keyRing.existingSecret" $secrets.keyRing.existingSecret "otlp.existingSecret" $secrets.otlp.existingSecret "msi.existingSecret" $secrets.msi.existingSecret "extra" $secrets.extra -}}
{{- range $name, $value := $given -}}
  {{- if $value -}}
    {{- fail (printf "secrets.%s: injection does not read it: a Pod mounts Secrets of its own namespace only. Put all of it into one Secret there, name that in injection.secret or in the annotation tokend.dev/secret, and name its files (/run/secrets/tokend/…) in the ConfigMap of the Pod's namespace (injection.config: %s)." $name $configMap) -}}
  {{- end -}}
{{- end -}}
{{- if .Values.config -}}
{{- fail (printf "config: injection does not read it. Write it into the ConfigMap of the Pod's namespace (injection.config: %s), and remove it here." $configMap) -}}
{{- end -}}
{{- end }}

{{- define "tokend.checkReplicas" -}}
{{- $values := .Values.standalone -}}
{{- $scaling := $values.autoscaling -}}
{{- $most := $scaling.enabled | ternary $scaling.maxReplicas $values.replicas | int -}}
{{- if and $scaling.enabled (lt (int $scaling.maxReplicas) (int $scaling.minReplicas)) -}}
{{- fail "standalone.autoscaling.maxReplicas: it is less than minReplicas. Raise it." -}}
{{- end -}}
{{- if and (gt $most 1) (not (dig "redis" nil (default dict .Values.config.cache))) (not $values.acknowledgeMemoryOnly) -}}
{{- fail (printf "%s: several replicas without config.cache.redis do not share tokens: each calls the authority for itself, and a user who signed in at one is unknown to the others. Configure Redis, run one replica, or set standalone.acknowledgeMemoryOnly: true if that is what you want." ($scaling.enabled | ternary "standalone.autoscaling.maxReplicas" "standalone.replicas")) -}}
{{- end -}}
{{- $budget := $values.podDisruptionBudget -}}
{{- $unset := list nil "" -}}
{{- if and (not (has $budget.minAvailable $unset)) (not (has $budget.maxUnavailable $unset)) -}}
{{- fail "standalone.podDisruptionBudget: minAvailable and maxUnavailable are both set, and Kubernetes takes one. Set the other to null." -}}
{{- end -}}
{{- end }}

{{- define "tokend.needsSeconds" -}}
{{- $shutdown := include "tokend.shutdown" . | fromJson -}}
{{- add (include "tokend.seconds" (list "config.shutdown.delay" $shutdown.delay) | int) (include "tokend.seconds" (list "config.shutdown.grace" $shutdown.grace) | int) -}}
{{- end }}

{{- define "tokend.checkGrace" -}}
{{- $given := .Values.standalone.terminationGracePeriodSeconds -}}
{{- /* After the grace: up to a second for what hangs, up to two for the last spans. */ -}}
{{- $least := add 3 (include "tokend.needsSeconds" . | int) -}}
{{- if and (not (kindIs "invalid" $given)) (lt (int $given) $least) -}}
{{- fail (printf "standalone.terminationGracePeriodSeconds: %d is less than config.shutdown.delay + config.shutdown.grace + 3 = %d s: requests or the last spans would be cut off. Raise it, or leave it out." (int $given) $least) -}}
{{- end -}}
{{- end }}
