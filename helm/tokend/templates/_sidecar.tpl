{{/*
For charts that have this one as a dependency: `include "tokend.sidecar" .Subcharts.tokend`, and so on. What they give is in the README.
*/}}

{{/* The entry for initContainers, as the first one: every container after it finds tokend running. */}}
{{- define "tokend.sidecar" -}}
{{- include "tokend.fill" . -}}
{{- if not .Values.sidecar.enabled -}}
{{- fail "sidecar.enabled: the named templates need it, because it makes the ConfigMap that they mount. Set it to true among the values of the dependency." -}}
{{- end -}}
- {{ include "tokend.container" (dict "root" . "mode" "sidecar") | nindent 2 | trim }}
{{- end }}

{{/* The entries for volumes. */}}
{{- define "tokend.volumes" -}}
{{- include "tokend.fill" . -}}
{{- include "tokend.container.volumes" (dict "root" . "mode" "sidecar") | trim }}
{{- end }}

{{/* The entry for the env of each container that asks tokend. */}}
{{- define "tokend.env" -}}
{{- include "tokend.fill" . -}}
- name: TOKEND_URL
  value: {{ .Values.socket.loopback | ternary "http://127.0.0.1:8650" "unix:/run/tokend/tokend.sock" }}
{{- end }}

{{/*
The entries for the env of a container whose Azure SDK shall get its tokens from tokend: the dependency, or (list dependency "web") where
callers are listed and this is one of them. The SDKs look for a federated token before they look for these, unless the last one says which.
*/}}
{{- define "tokend.identityEnv" -}}
{{- $root := . -}}
{{- $name := "" -}}
{{- if kindIs "slice" . -}}
  {{- $root = index . 0 -}}
  {{- $name = index . 1 -}}
{{- end -}}
{{- include "tokend.fill" $root -}}
{{- $secret := include "tokend.identitySecret" (list $root $name) | fromJson -}}
- name: IDENTITY_ENDPOINT
  value: {{ include "tokend.identityEndpoint" . }}
- name: IDENTITY_HEADER
  valueFrom:
    secretKeyRef:
      {{- toYaml $secret | nindent 6 }}
- name: AZURE_TOKEN_CREDENTIALS
  value: ManagedIdentityCredential
{{- end }}

{{/* Where a sidecar is asked for tokens by the protocol of managed identities. */}}
{{- define "tokend.identityEndpoint" -}}
http://127.0.0.1:8650/msi/token
{{- end }}

{{/* What such a container shows, as {name, key} of a Secret in JSON: (list $ "web"). */}}
{{- define "tokend.identitySecret" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $values := $root.Values -}}
{{- if not $values.socket.loopback -}}
{{- fail "socket.loopback: it is false, and Azure SDKs ask at no socket. Set it to true among the values of the dependency." -}}
{{- end -}}
{{- if and (not $values.sidecar.existingConfigMap) (not (has "msi" (default list $values.config.doors))) -}}
{{- fail "config.doors: tokend does not serve Azure SDKs. Set config.doors: [rest, msi] among the values of the dependency." -}}
{{- end -}}
{{- if $values.callers.list -}}
  {{- $caller := dict -}}
  {{- range $values.callers.list }}{{ if eq .name $name }}{{ $caller = . }}{{ end }}{{ end -}}
  {{- if not $caller -}}
  {{- fail (printf "callers.list: %s. Say which caller the container is: include \"tokend.identityEnv\" (list .Subcharts.tokend \"NAME\"), with a NAME of the list." (empty $name | ternary "it has callers, and the template was told none" (printf "it has no caller %q" $name))) -}}
  {{- end -}}
  {{- if ne (include "tokend.callers.proof" $caller) "token" -}}
  {{- fail (printf "callers.list: the caller %q proves itself by %s, and an Azure SDK can only show a token. List one for it that has a token." $name (include "tokend.callers.proof" $caller)) -}}
  {{- end -}}
  {{- if not (has "msi" (default list $caller.doors)) -}}
  {{- fail (printf "callers.list: the caller %q may not use the door of Azure SDKs. Write doors: [msi] there, or [rest, msi] if it uses both." $name) -}}
  {{- end -}}
  {{- dict "name" (include "tokend.secretName" (list "callers.existingSecret" $values.callers.existingSecret $root)) "key" (default $name $caller.key) | toJson -}}
{{- else -}}
  {{- if not $values.secrets.msi.existingSecret -}}
  {{- fail "secrets.msi.existingSecret: nothing says what the SDK shows to tokend. Put what `tokend caller-token new` prints into a Secret, under the key identity-header and without a newline at its end, and name it there." -}}
  {{- end -}}
  {{- dict "name" (include "tokend.secretName" (list "secrets.msi.existingSecret" $values.secrets.msi.existingSecret $root)) "key" $values.secrets.msi.key | toJson -}}
{{- end -}}
{{- end }}

{{/* The entry for the volumeMounts of each container that asks over the socket. Read-only: it can be connected to, not replaced. */}}
{{- define "tokend.volumeMounts" -}}
{{- include "tokend.fill" . -}}
{{- if not .Values.socket.enabled -}}
{{- fail "socket.enabled: there is no socket to mount. Set it to true among the values of the dependency." -}}
{{- end -}}
- name: tokend-socket
  mountPath: /run/tokend
  readOnly: true
{{- end }}

{{/* An annotation for the Pod, so that a new configuration makes new Pods. */}}
{{- define "tokend.annotations" -}}
{{- include "tokend.fill" . -}}
{{- if not .Values.sidecar.existingConfigMap -}}
checksum/tokend-config: {{ include "tokend.config.sidecar" . | sha256sum }}
{{- end -}}
{{- end }}
