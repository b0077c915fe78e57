{{/*
The container of tokend, once, for all three ways to run it. `mode` is sidecar (a Pod of another chart), injection (a Pod of whoever asks for
it) or standalone (the Deployment here). A map {"$cel": "…"} stands where the admission policy calculates a value ("tokend.cel").
*/}}

{{- define "tokend.container" -}}
{{- $root := .root -}}
{{- $mode := .mode -}}
{{- include "tokend.checkMemory" $root -}}
name: tokend
image: {{ eq $mode "injection" | ternary (dict "$cel" "variables.image" | toJson) (include "tokend.image" $root | quote) }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
{{- if ne $mode "standalone" }}
restartPolicy: Always
{{- end }}
args: [serve, --config, /etc/tokend/tokend.yaml]
{{- $env := include "tokend.container.env" . | fromYamlArray }}
{{- with $env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.extraEnvFrom }}
envFrom:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
ports:
  {{- if eq $mode "standalone" }}
  - {name: https, containerPort: 8650, protocol: TCP}
  {{- end }}
  - {name: tokend-admin, containerPort: 8651, protocol: TCP}
{{- include "tokend.container.probes" . | nindent 0 }}
resources:
  {{- include "tokend.container.resources" . | nindent 2 }}
{{- with $root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  {{- range include "tokend.parts" . | fromJsonArray }}
  - {{ toYaml .mount | nindent 4 | trim }}
  {{- end }}
  {{- with $root.Values.extraVolumeMounts }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where somebody else wrote the ConfigMap, the listeners have to fit the probes all the same: variables go over the file. */}}
{{- define "tokend.container.env" -}}
{{- $root := .root -}}
{{- if eq .mode "injection" }}
- {name: TOKEND_LISTEN, value: {"$cel": variables.listen}}
- {name: TOKEND_LISTEN_MODE, value: "0666"}
- {name: TOKEND_ADMIN_LISTEN, value: "*:8651"}
{{- else if and (eq .mode "sidecar") $root.Values.sidecar.existingConfigMap }}
- {name: TOKEND_LISTEN, value: {{ include "tokend.listen" $root | quote }}}
- {name: TOKEND_LISTEN_MODE, value: "0666"}
- {name: TOKEND_ADMIN_LISTEN, value: "*:8651"}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end }}

{{/* The kubelet asks at the Pod's address. A sidecar has no readiness probe: its own would take the app out of service. */}}
{{- define "tokend.container.probes" -}}
{{- $probes := .root.Values.probes -}}
startupProbe:
  httpGet: {path: /livez, port: tokend-admin}
  {{- toYaml $probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /livez, port: tokend-admin}
  {{- toYaml $probes.liveness | nindent 2 }}
{{- if eq .mode "standalone" }}
readinessProbe:
  httpGet: {path: /readyz, port: tokend-admin}
  {{- toYaml $probes.readiness | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tokend.container.resources" -}}
{{- $resources := deepCopy .root.Values.resources -}}
{{- if eq .mode "injection" -}}
  {{- $_ := set $resources.limits "memory" (dict "$cel" "variables.memoryLimit") -}}
  {{- $requests := default dict $resources.requests -}}
  {{- $_ := set $requests "memory" (dict "$cel" "variables.memoryRequest") -}}
  {{- $_ := set $resources "requests" $requests -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end }}

{{/* What is mounted, each with the volume that it comes from: a list of {mount, volume} in JSON. */}}
{{- define "tokend.parts" -}}
{{- $root := .root -}}
{{- $mode := .mode -}}
{{- $parts := list (include "tokend.part.config" . | fromJson) -}}
{{- range include "tokend.secretVolumes" . | fromJsonArray -}}
  {{- $parts = append $parts . -}}
{{- end -}}
{{- if and $root.Values.federated.enabled (ne $mode "injection") -}}
  {{- $parts = append $parts (include "tokend.part.federated" (list $root.Values.federated.audience $root.Values.federated.expirationSeconds) | fromJson) -}}
{{- end -}}
{{- if and (eq $mode "standalone") (include "tokend.asksApiServer" $root) -}}
  {{- $parts = append $parts (include "tokend.part.apiServer" . | fromJson) -}}
{{- end -}}
{{- if ne $mode "standalone" -}}
  {{- /* The Pod's token for the Kubernetes API is mounted into every container that has nothing else there. */ -}}
  {{- $mount := dict "name" "tokend-no-api-token" "mountPath" "/var/run/secrets/kubernetes.io/serviceaccount" "readOnly" true -}}
  {{- $parts = append $parts (dict "mount" $mount "volume" (dict "name" "tokend-no-api-token" "emptyDir" (dict "medium" "Memory" "sizeLimit" "1Mi"))) -}}
{{- end -}}
{{- if and (eq $mode "sidecar") $root.Values.socket.enabled -}}
  {{- $parts = append $parts (include "tokend.part.socket" . | fromJson) -}}
{{- end -}}
{{- $parts | toJson -}}
{{- end }}

{{- define "tokend.part.config" -}}
{{- $name := include "tokend.configMapName" . -}}
{{- $source := eq .mode "injection" | ternary (dict "$cel" "variables.config") $name -}}
{{- dict "mount" (dict "name" "tokend-config" "mountPath" "/etc/tokend" "readOnly" true) "volume" (dict "name" "tokend-config" "configMap" (dict "name" $source)) | toJson -}}
{{- end }}

{{- define "tokend.configMapName" -}}
{{- if eq .mode "sidecar" }}{{ default (include "tokend.fullname" .root) .root.Values.sidecar.existingConfigMap }}{{ else }}{{ include "tokend.fullname" .root }}{{ end -}}
{{- end }}

{{- define "tokend.part.socket" -}}
{{- dict "mount" (dict "name" "tokend-socket" "mountPath" "/run/tokend") "volume" (dict "name" "tokend-socket" "emptyDir" (dict "medium" "Memory" "sizeLimit" "1Mi")) | toJson -}}
{{- end }}

{{/* A service-account token for the authority, which the kubelet renews: (list audience seconds). */}}
{{- define "tokend.part.federated" -}}
{{- $token := dict "path" "federated" "audience" (index . 0) "expirationSeconds" (index . 1) -}}
{{- $source := dict "serviceAccountToken" $token -}}
{{- dict "mount" (dict "name" "tokend-federated" "mountPath" "/run/secrets/tokens" "readOnly" true) "volume" (dict "name" "tokend-federated" "projected" (dict "defaultMode" 292 "sources" (list $source))) | toJson -}}
{{- end }}

{{/* What the API server is asked for its keys with: a token of the Pod's own service account, and the CA that every namespace has. */}}
{{- define "tokend.part.apiServer" -}}
{{- $token := dict "serviceAccountToken" (dict "path" "token" "expirationSeconds" 3600) -}}
{{- $ca := dict "configMap" (dict "name" "kube-root-ca.crt" "items" (list (dict "key" "ca.crt" "path" "ca.crt"))) -}}
{{- dict "mount" (dict "name" "tokend-api-server" "mountPath" "/run/secrets/kubernetes" "readOnly" true) "volume" (dict "name" "tokend-api-server" "projected" (dict "defaultMode" 292 "sources" (list $token $ca))) | toJson -}}
{{- end }}

{{/*
The Secrets. Directories, never subPath, so that a new content arrives. In a Pod of others nobody may set fsGroup, which would re-own the
volumes of the app; there the files are 0444, and the mount is the boundary.
*/}}
{{- define "tokend.secretVolumes" -}}
{{- $root := .root -}}
{{- $mode := .mode -}}
{{- $names := dict -}}
{{- if eq $mode "injection" -}}
  {{- $_ := set $names "tokend" (dict "$cel" "variables.secret") -}}
{{- else -}}
  {{- $values := $root.Values.secrets -}}
  {{- range $path, $key := dict "tokend" "credentials" "redis" "redis" "key-ring" "keyRing" "otlp" "otlp" "msi" "msi" -}}
    {{- with (get $values $key).existingSecret }}{{ $_ := set $names $path (include "tokend.secretName" (list (printf "secrets.%s.existingSecret" $key) . $root)) }}{{ end -}}
  {{- end -}}
  {{- if include "tokend.callers.by" (list $root "token") | fromJsonArray }}{{ $_ := set $names "callers" (include "tokend.secretName" (list "callers.existingSecret" $root.Values.callers.existingSecret $root)) }}{{ end -}}
  {{- if eq $mode "standalone" }}{{ $_ := set $names "tls" (include "tokend.secretName" (list "standalone.tls.existingSecret" $root.Values.standalone.tls.existingSecret $root)) }}{{ end -}}
  {{- range $path, $name := $values.extra }}
    {{- if or (hasKey $names $path) (has $path (list "tokens" "kubernetes")) }}{{ fail (printf "secrets.extra.%s: /run/secrets/%s is taken. Choose another name." $path $path) }}{{ end -}}
    {{- $_ := set $names $path (include "tokend.secretName" (list (printf "secrets.extra.%s" $path) $name $root)) -}}
  {{- end -}}
{{- end -}}
{{- $fileMode := eq $mode "standalone" | ternary 288 292 -}}
{{- $parts := list -}}
{{- range $path, $name := $names -}}
  {{- $volume := eq $path "tokend" | ternary "tokend-secrets" (printf "tokend-secret-%s" $path) -}}
  {{- $mount := dict "name" $volume "mountPath" (printf "/run/secrets/%s" $path) "readOnly" true -}}
  {{- $parts = append $parts (dict "mount" $mount "volume" (dict "name" $volume "secret" (dict "secretName" $name "defaultMode" $fileMode))) -}}
{{- end -}}
{{- $parts | toJson -}}
{{- end }}

{{/* The name of a Secret, evaluated: (list "the.value" template $). A failure if Kubernetes would refuse it; that there is none is for the checks. */}}
{{- define "tokend.secretName" -}}
{{- $name := tpl (toString (default "" (index . 1))) (index . 2) -}}
{{- if and (index . 1) (or (gt (len $name) 253) (not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$" $name))) -}}
{{- fail (printf "%s: %q is no name of a Secret. Write lower-case letters, digits, `-` and `.` between them, 253 at most." (index . 0) $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}

{{- define "tokend.container.volumes" -}}
{{- $root := .root -}}
{{- range include "tokend.parts" . | fromJsonArray }}
- {{ toYaml .volume | nindent 2 | trim }}
{{- end }}
{{- with $root.Values.extraVolumes }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end }}
