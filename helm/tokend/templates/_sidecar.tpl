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
