{{/* tokend.yaml: what `config` says, and what the chart knows better. */}}

{{/*
Refuses secrets, because everybody who may read ConfigMaps would read them: (list "config" value). The program itself has a place for each:
{file: …} names a file of a mounted Secret.
*/}}
{{- define "tokend.refuseSecrets" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if kindIs "map" $value -}}
  {{- range $key, $inner := $value -}}
    {{- $at := printf "%s.%s" $path $key -}}
    {{- if eq $key "inline" -}}
      {{- fail (printf "%s: a secret does not belong in a ConfigMap. Put it into a Secret, name that under `secrets`, and write {file: /run/secrets/…} here." $at) -}}
    {{- end -}}
    {{- if and (has $key (list "secret" "password" "token" "certificate" "pfx" "private_key" "tls_certificate" "federated_token" "key_ring" "headers" "discovery_token")) (kindIs "string" $inner) -}}
      {{- fail (printf "%s: a secret does not belong in a ConfigMap. Put it into a Secret, name that under `secrets`, and write `%s: {file: /run/secrets/…}` here." $at $key) -}}
    {{- end -}}
    {{- include "tokend.refuseSecrets" (list $at $inner) -}}
  {{- end -}}
{{- else if kindIs "slice" $value -}}
  {{- range $index, $inner := $value -}}
    {{- include "tokend.refuseSecrets" (list (printf "%s[%d]" $path $index) $inner) -}}
  {{- end -}}
{{- else if kindIs "string" $value -}}
  {{- if regexMatch "[A-Za-z][A-Za-z0-9+.-]*://[^/?#\\s]*:[^/?#\\s@]*@" $value -}}
    {{- fail (printf "%s: a password stands in the URL, and a ConfigMap is no place for it. Remove it from the URL; for Redis name the Secret in secrets.redis.existingSecret, for a proxy set TOKEND_OUTBOUND__PROXY in extraEnv from a Secret." $path) -}}
  {{- end -}}
  {{- if contains "PRIVATE KEY-----" $value -}}
    {{- fail (printf "%s: a private key does not belong in a ConfigMap. Put it into a Secret, name that under `secrets`, and write {file: /run/secrets/…} here." $path) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Refuses what the chart writes itself, and names the value that says the same. */}}
{{- define "tokend.refuseOwned" -}}
{{- $remedies := dict
  "listen" "The chart decides on it, because probes and the Service have to fit: 127.0.0.1:8650 in a sidecar (and a socket with socket.enabled, without loopback if socket.loopback is false), *:8650 standalone."
  "listen_mode" "The chart decides on it: a socket is open to every user inside a volume that only the containers with the mount see."
  "admin_listen" "The chart decides on it: probes and scrapes come to *:8651."
  "tls" "Name the Secret in standalone.tls.existingSecret."
  "callers" "Write callers.list and callers.existingSecret." -}}
{{- range $key, $remedy := $remedies -}}
  {{- if hasKey $.Values.config $key -}}
    {{- fail (printf "config.%s: it is not read from here. %s" $key $remedy) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* The names under which the Service is asked; others stand in config.hosts. */}}
{{- define "tokend.hosts" -}}
{{- $name := include "tokend.fullname" . -}}
{{- $namespace := include "tokend.namespace" . -}}
{{- $hosts := list $name (printf "%s.%s" $name $namespace) (printf "%s.%s.svc" $name $namespace) (printf "%s.%s.svc.%s" $name $namespace .Values.clusterDomain) -}}
{{- $given := default list .Values.config.hosts -}}
{{- if kindIs "string" $given }}{{ $given = list $given }}{{ end -}}
{{- concat $hosts $given | uniq | toJson -}}
{{- end }}

{{/* The callers, as a list in JSON. */}}
{{- define "tokend.callers" -}}
{{- $root := . -}}
{{- $all := list -}}
{{- range .Values.callers.list -}}
  {{- $caller := omit . "key" "serviceAccount" -}}
  {{- if .serviceAccount -}}
    {{- $_ := set $caller "jwt" (include "tokend.callers.jwt" (list $root .serviceAccount) | fromJson) -}}
  {{- else if eq (include "tokend.callers.proof" .) "token" -}}
    {{- $_ := set $caller "token" (dict "file" (printf "/run/secrets/callers/%s" (default .name .key))) -}}
  {{- end -}}
  {{- $all = append $all $caller -}}
{{- end -}}
{{- $all | toJson -}}
{{- end }}

{{/* The apis that are served at a door, as their names in JSON: (list $ "auth_request"). */}}
{{- define "tokend.apisAt" -}}
{{- $config := (index . 0).Values.config -}}
{{- $door := index . 1 -}}
{{- $names := list -}}
{{- if has $door (default list $config.doors) -}}
  {{- range $name, $api := default dict $config.apis -}}
    {{- if has $door (default list $api.doors) }}{{ $names = append $names $name }}{{ end -}}
  {{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end }}

{{/* What a caller proves itself by: the members that say it, and `token` where none does. Several are for the checks. */}}
{{- define "tokend.callers.proof" -}}
{{- $all := pick . "serviceAccount" "jwt" "certificate" "peer" "listener" | keys | sortAlpha -}}
{{- $all | join " and " | default "token" -}}
{{- end }}

{{/* The callers that have a token, as their names in JSON; and those that are service accounts. */}}
{{- define "tokend.callers.by" -}}
{{- $names := list -}}
{{- $proof := index . 1 -}}
{{- range (index . 0).Values.callers.list -}}
  {{- if eq (include "tokend.callers.proof" .) $proof }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end }}

{{/* A service account of this cluster as the member `jwt`: (list $ {name, namespace}), in JSON. */}}
{{- define "tokend.callers.jwt" -}}
{{- $root := index . 0 -}}
{{- $account := index . 1 -}}
{{- $callers := $root.Values.callers -}}
{{- $namespace := default (include "tokend.namespace" $root) $account.namespace -}}
{{- $jwt := dict "issuer" $callers.serviceAccountIssuer "audience" (include "tokend.callers.audience" $root) "subjects" (list (printf "system:serviceaccount:%s:%s" $namespace $account.name)) -}}
{{- if $callers.serviceAccountKeys -}}
  {{- $_ := set $jwt "jwks_uri" $callers.serviceAccountKeys -}}
  {{- $_ := set $jwt "ca_file" "/run/secrets/kubernetes/ca.crt" -}}
  {{- $_ := set $jwt "discovery_token" (dict "file" "/run/secrets/kubernetes/token") -}}
{{- end -}}
{{- $jwt | toJson -}}
{{- end }}

{{/* One release's alone, so that a token for it is good at no other. */}}
{{- define "tokend.callers.audience" -}}
{{- default (printf "%s.%s.svc" (include "tokend.fullname" .) (include "tokend.namespace" .)) .Values.callers.serviceAccountAudience -}}
{{- end }}

{{/* Whether keys come from the API server: `true`, or nothing. */}}
{{- define "tokend.asksApiServer" -}}
{{- if and .Values.callers.serviceAccountKeys (include "tokend.callers.by" (list . "serviceAccount") | fromJsonArray) }}true{{ end -}}
{{- end }}

{{/* Points `cache.redis` at the mounted Secrets: (list root redis), gives the new `redis` in JSON. */}}
{{- define "tokend.redis" -}}
{{- $root := index . 0 -}}
{{- $redis := deepCopy (index . 1) -}}
{{- $secret := $root.Values.secrets.redis -}}
{{- if $secret.existingSecret -}}
  {{- $at := "/run/secrets/redis" -}}
  {{- if and $secret.passwordKey (not (hasKey $redis "password")) }}{{ $_ := set $redis "password" (dict "file" (printf "%s/%s" $at $secret.passwordKey)) }}{{ end -}}
  {{- range $member, $key := dict "ca_file" $secret.caKey "client_cert" $secret.certKey "client_key" $secret.keyKey -}}
    {{- if and $key (not (hasKey $redis $member)) }}{{ $_ := set $redis $member (printf "%s/%s" $at $key) }}{{ end -}}
  {{- end -}}
  {{- if and $secret.sentinelPasswordKey (kindIs "map" $redis.sentinel) (not (hasKey (default dict $redis.sentinel) "password")) -}}
    {{- $_ := set $redis.sentinel "password" (dict "file" (printf "%s/%s" $at $secret.sentinelPasswordKey)) -}}
  {{- end -}}
{{- end -}}
{{- $ring := $root.Values.secrets.keyRing -}}
{{- if and $ring.existingSecret (not (hasKey $redis "encryption")) -}}
  {{- $_ := set $redis "encryption" (dict "key_ring" (dict "file" (printf "/run/secrets/key-ring/%s" $ring.key))) -}}
{{- end -}}
{{- if not (hasKey $redis "encryption") -}}
  {{- fail "config.cache.redis: nothing says how tokens are encrypted in Redis. Make a key ring (`tokend key-ring new`), put it into a Secret, and name that in secrets.keyRing.existingSecret; or accept readable tokens in so many words: config.cache.redis.encryption.plaintext: true." -}}
{{- end -}}
{{- $redis | toJson -}}
{{- end }}

{{/* Everything but the listeners, in JSON. */}}
{{- define "tokend.config.common" -}}
{{- include "tokend.refuseOwned" . -}}
{{- include "tokend.refuseSecrets" (list "config" .Values.config) -}}
{{- $config := deepCopy .Values.config -}}
{{- $redis := dig "redis" nil (default dict $config.cache) -}}
{{- if $redis -}}
  {{- $_ := set $config.cache "redis" (include "tokend.redis" (list . $redis) | fromJson) -}}
{{- else -}}
  {{- range $name, $value := dict "redis" .Values.secrets.redis.existingSecret "keyRing" .Values.secrets.keyRing.existingSecret -}}
    {{- if $value -}}
      {{- fail (printf "secrets.%s.existingSecret: it is for Redis, and config.cache.redis is not there. Say where Redis is (config.cache.redis.url, .sentinel or .cluster), or remove it." $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- if .Values.secrets.otlp.existingSecret -}}
  {{- if not $config.otlp }}{{ fail "secrets.otlp.existingSecret: it holds headers for a collector, and config.otlp is not there. Set config.otlp.endpoint, or remove it." }}{{ end -}}
  {{- if not (hasKey $config.otlp "headers") }}{{ $_ := set $config.otlp "headers" (dict "file" (printf "/run/secrets/otlp/%s" .Values.secrets.otlp.headersKey)) }}{{ end -}}
{{- end -}}
{{- if .Values.callers.list -}}
  {{- $_ := set $config "callers" (include "tokend.callers" . | fromJsonArray) -}}
{{- end -}}
{{- if include "tokend.asksApiServer" . -}}
  {{- /* A proxy is for authorities, and knows no name of the cluster. */ -}}
  {{- $outbound := default dict $config.outbound -}}
  {{- $given := default list $outbound.no_proxy -}}
  {{- if kindIs "string" $given }}{{ $given = splitList "," $given }}{{ end -}}
  {{- $host := regexReplaceAll ":[0-9]+$" (urlParse .Values.callers.serviceAccountKeys).host "" -}}
  {{- $_ := set $outbound "no_proxy" (append $given $host | uniq) -}}
  {{- $_ := set $config "outbound" $outbound -}}
{{- end -}}
{{- if .Values.secrets.msi.existingSecret -}}
  {{- if not (has "msi" (default list $config.doors)) }}{{ fail "secrets.msi.existingSecret: it is for the door msi, and config.doors does not name that. Set config.doors: [rest, msi], or remove it." }}{{ end -}}
  {{- $msi := default dict $config.msi -}}
  {{- if not (hasKey $msi "secret") }}{{ $_ := set $msi "secret" (dict "file" (printf "/run/secrets/msi/%s" .Values.secrets.msi.key)) }}{{ end -}}
  {{- $_ := set $config "msi" $msi -}}
{{- end -}}
{{- $config | toJson -}}
{{- end }}

{{/* tokend.yaml of a sidecar, and of the Deployment. */}}
{{- define "tokend.config.sidecar" -}}
{{- $config := include "tokend.config.common" . | fromJson -}}
{{- $_ := set $config "listen" (include "tokend.listen" . | fromJsonArray) -}}
{{- if .Values.socket.enabled }}{{ $_ := set $config "listen_mode" "0666" }}{{ end -}}
{{- $_ := set $config "admin_listen" "*:8651" -}}
{{- toYaml $config -}}
{{- end }}

{{- define "tokend.config.standalone" -}}
{{- $config := include "tokend.config.common" . | fromJson -}}
{{- $tls := .Values.standalone.tls -}}
{{- $files := dict "cert" (dict "file" (printf "/run/secrets/tls/%s" $tls.certKey)) "key" (dict "file" (printf "/run/secrets/tls/%s" $tls.keyKey)) -}}
{{- with $tls.clientCAKey }}{{ $_ := set $files "client_ca" (dict "file" (printf "/run/secrets/tls/%s" .)) }}{{ end -}}
{{- if and $tls.clientCAKey (ne $tls.clientCertificates "required") }}{{ $_ := set $files "client_certificates" $tls.clientCertificates }}{{ end -}}
{{- $_ := set $config "listen" "*:8650" -}}
{{- $_ := set $config "admin_listen" "*:8651" -}}
{{- $_ := set $config "hosts" (include "tokend.hosts" . | fromJsonArray) -}}
{{- $_ := set $config "tls" $files -}}
{{- $_ := set $config "shutdown" (include "tokend.shutdown" . | fromJson) -}}
{{- toYaml $config -}}
{{- end }}

{{/* The addresses of a sidecar, in JSON. */}}
{{- define "tokend.listen" -}}
{{- $all := list -}}
{{- if .Values.socket.loopback }}{{ $all = append $all "127.0.0.1:8650" }}{{ end -}}
{{- if .Values.socket.enabled }}{{ $all = append $all "unix:/run/tokend/tokend.sock" }}{{ end -}}
{{- $all | toJson -}}
{{- end }}

{{/* How the Deployment ends: requests are taken for some seconds more, until no Service sends any. */}}
{{- define "tokend.shutdown" -}}
{{- $all := dict "delay" "5s" "grace" "20s" -}}
{{- range $key, $value := .Values.config.shutdown -}}
  {{- /* Not `merge`: it would take 0 for nothing said. */ -}}
  {{- if not (kindIs "invalid" $value) }}{{ $_ := set $all $key $value }}{{ end -}}
{{- end -}}
{{- $all | toJson -}}
{{- end }}

{{/* The ports that the URLs name. Sentinels and cluster nodes name further servers, on the usual port unless the value says another. */}}
{{- define "tokend.redisPorts" -}}
{{- $ports := .Values.networkPolicy.redis.ports -}}
{{- if not $ports -}}
  {{- $redis := .Values.config.cache.redis -}}
  {{- $urls := list -}}
  {{- with $redis.url }}{{ $urls = append $urls . }}{{ end -}}
  {{- range list $redis.sentinel $redis.cluster -}}
    {{- with dig "urls" nil (default dict .) }}{{ $urls = concat $urls (kindIs "string" . | ternary (list .) .) }}{{ end -}}
  {{- end -}}
  {{- if $redis.sentinel }}{{ $ports = list 6379 }}{{ end -}}
  {{- range $urls -}}
    {{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" -}}
    {{- $ports = append $ports (default 6379 $port | int) -}}
  {{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}
