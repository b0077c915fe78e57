{{/* Names, labels, the image, and the units that the other templates calculate with. */}}

{{- define "tokend.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tokend.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "tokend.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "tokend.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tokend.adminName" -}}
{{- printf "%s-admin" (include "tokend.fullname" . | trunc 57 | trimSuffix "-") }}
{{- end }}

{{- define "tokend.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "tokend.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tokend.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the Deployment's Pods: the Pod of `helm test` must not be among them. */}}
{{- define "tokend.serverLabels" -}}
{{ include "tokend.selectorLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "tokend.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "tokend.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end }}

{{/* The metadata of an object: (dict "root" $ "name" … "annotations" … "labels" … "cluster" true). */}}
{{- define "tokend.metadata" -}}
{{- $root := .root -}}
metadata:
  name: {{ .name }}
  {{- if not .cluster }}
  namespace: {{ default (include "tokend.namespace" $root) .namespace }}
  {{- end }}
  labels:
    {{- include "tokend.labels" $root | nindent 4 }}
    {{- with .labels }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
  {{- with merge (dict) (default dict .annotations) $root.Values.commonAnnotations }}
  annotations:
    {{- tpl (toYaml .) $root | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "tokend.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry (.Values.global).imageRegistry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{/* The pull secrets, as a list of {name} in JSON. */}}
{{- define "tokend.imagePullSecrets" -}}
{{- $all := list -}}
{{- range concat (default list (.Values.global).imagePullSecrets) .Values.imagePullSecrets -}}
{{- if kindIs "string" . }}{{ $all = append $all (dict "name" .) }}{{ else }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- $all | uniq | toJson }}
{{- end }}

{{- define "tokend.serviceAccountName" -}}
{{- $account := .Values.standalone.serviceAccount -}}
{{- if $account.create }}{{ default (include "tokend.fullname" .) $account.name }}{{ else }}{{ default "default" $account.name }}{{ end }}
{{- end }}

{{/* A size in bytes: (list "the.value" 64MiB). Takes what Kubernetes writes (256Mi, 1G, 1e9) and what tokend writes (64MiB). */}}
{{- define "tokend.bytes" -}}
{{- $text := toString (index . 1) | trim -}}
{{- $units := dict "" 1 "B" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?[eE][+]?[0-9]+$" $text -}}
{{- $text | float64 | int64 -}}
{{- else if regexMatch "^[0-9]+([.][0-9]+)? *(B|k|M|G|T|[KMGT]i|[KMG]iB)?$" $text -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (index $units $unit | float64) | int64 -}}
{{- else -}}
{{- fail (printf "%s: %q is no size. Write a number with its unit, such as 256Mi." (index . 0) $text) -}}
{{- end -}}
{{- end }}

{{/* A duration in whole seconds, rounded up: (list "the.value" 20s). */}}
{{- define "tokend.seconds" -}}
{{- $text := toString (index . 1) | trim -}}
{{- if eq $text "0" -}}
0
{{- else if regexMatch "^[0-9]+ *(ms|s|m|h)$" $text -}}
{{- $number := regexFind "^[0-9]+" $text | int64 -}}
{{- $unit := regexFind "[a-z]+$" $text -}}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}{{ else }}{{ mul $number (index (dict "s" 1 "m" 60 "h" 3600) $unit) }}{{ end -}}
{{- else -}}
{{- fail (printf "%s: %q is no duration. Write a whole number with its unit: 500ms, 20s, 2m." (index . 0) $text) -}}
{{- end -}}
{{- end }}

{{/* Whether the API server has a kind: (list $ "monitoring.coreos.com/v1/PodMonitor" "the.value" "remedy"); a failure if not. */}}
{{- define "tokend.needsKind" -}}
{{- if not ((index . 0).Capabilities.APIVersions.Has (index . 1)) -}}
{{- fail (printf "%s: this cluster has no %s. %s" (index . 2) (index . 1) (index . 3)) -}}
{{- end -}}
{{- end }}
