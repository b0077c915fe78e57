{{/*
Values that are missing become the defaults: a null takes a value away, and with --reuse-values those of another release come without what is
new in this one. Whoever is rendered first fills them in, for all that come later.
*/}}
{{- define "tokend.fill" -}}
{{- include "tokend.fillMap" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml) "") -}}
{{- end }}

{{/*
The members of a map that are missing: (list values defaults path). What Kubernetes or tokend defines is theirs: in it a null means that
something is not to be there.
*/}}
{{- define "tokend.fillMap" -}}
{{- $values := index . 0 -}}
{{- $path := index . 2 -}}
{{- $theirs := list "config" "resources" "securityContext" "standalone.podSecurityContext" "standalone.nodeSelector" "metrics.dashboard.labels" -}}
{{- range $key, $default := index . 1 -}}
  {{- $at := printf "%s%s" $path $key -}}
  {{- $value := get $values $key -}}
  {{- if kindIs "invalid" (index $values $key) -}}
    {{- $_ := set $values $key (kindIs "map" $default | ternary (deepCopy (default dict $default)) $default) -}}
  {{- else if and (kindIs "map" $default) (kindIs "map" $value) (not (has $at $theirs)) -}}
    {{- include "tokend.fillMap" (list $value $default (printf "%s." $at)) -}}
  {{- end -}}
{{- end -}}
{{- end }}

{{/* Nulls in lists, which nobody can fill in: (list "the.value" list); a failure that names the entry. */}}
{{- define "tokend.refuseNulls" -}}
{{- $path := index . 0 -}}
{{- range $index, $entry := index . 1 -}}
  {{- if kindIs "invalid" $entry -}}
    {{- fail (printf "%s[%d]: the entry is empty. Write a value, or remove it." $path $index) -}}
  {{- end -}}
{{- end -}}
{{- end }}
