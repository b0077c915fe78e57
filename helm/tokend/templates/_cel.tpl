{{/*
A value as a CEL literal, so that the admission policy adds the very container that the other modes render. Maps and lists become dynamic,
because their members differ in type; {"$cel": "…"} is taken as an expression; all numbers of a container are whole.
*/}}
{{- define "tokend.cel" -}}
{{- if kindIs "map" . -}}
  {{- if hasKey . "$cel" -}}
    {{- index . "$cel" -}}
  {{- else -}}
    {{- $members := list -}}
    {{- range $key, $value := . -}}
      {{- $members = append $members (printf "%s: dyn(%s)" ($key | toJson) (include "tokend.cel" $value)) -}}
    {{- end -}}
    {{- printf "{%s}" (join ", " $members) -}}
  {{- end -}}
{{- else if kindIs "slice" . -}}
  {{- $items := list -}}
  {{- range . -}}
    {{- $items = append $items (printf "dyn(%s)" (include "tokend.cel" .)) -}}
  {{- end -}}
  {{- printf "[%s]" (join ", " $items) -}}
{{- else if kindIs "float64" . -}}
  {{- printf "%d" (int64 .) -}}
{{- else -}}
  {{- toJson . -}}
{{- end -}}
{{- end }}
