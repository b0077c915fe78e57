{{/*
What both admission policies know. The first one changes the Pod and can say nothing: a value that it cannot use is left out, so that the
second one, which sees the result, says why the Pod is refused.
*/}}

{{/* The annotations that override values; of the Pod, else of the namespace. */}}
{{- define "tokend.injection.annotations" -}}
{{- list "image" "config" "secret" "socket" "identity" "federated-audience" "log-level" "memory-limit" "memory-request" "cpu-limit" "cpu-request" | toJson -}}
{{- end }}

{{/* An expression over a full name `k` and a value `v`: whether it can be used. */}}
{{- define "tokend.injection.good" -}}
k == "tokend.dev/image" ? v.matches("^[A-Za-z0-9][A-Za-z0-9._/:@-]*$") :
k == "tokend.dev/config" ? v.size() < 254 && v.matches("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$") :
k == "tokend.dev/secret" ? v == "" || v.size() < 254 && v.matches("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$") :
k in ["tokend.dev/socket", "tokend.dev/identity"] ? v.matches("^( *([*]|[a-z0-9]([a-z0-9-]*[a-z0-9])?) *(,|$))*$") :
k == "tokend.dev/log-level" ? v in ["error", "warn", "info", "debug", "trace"] :
k == "tokend.dev/memory-limit" ? isQuantity(v) && !quantity(v).isLessThan(quantity("64Mi")) :
k in ["tokend.dev/memory-request", "tokend.dev/cpu-limit", "tokend.dev/cpu-request"] ? isQuantity(v) && quantity(v).isGreaterThan(quantity("0")) : true
{{- end }}

{{/* The same as an expression that says what it should be. */}}
{{- define "tokend.injection.remedy" -}}
k == "tokend.dev/image" ? "write an image, such as registry.example/tokend:0.1.0" :
k == "tokend.dev/config" ? "write the name of a ConfigMap of this namespace" :
k == "tokend.dev/secret" ? "write the name of a Secret of this namespace, or nothing for none" :
k in ["tokend.dev/socket", "tokend.dev/identity"] ? "write names of containers, separated by commas, or *" :
k == "tokend.dev/log-level" ? "write error, warn, info, debug or trace" :
k == "tokend.dev/memory-limit" ? "write a quantity of at least 64Mi" : "write a quantity above zero, such as 100m or 128Mi"
{{- end }}

{{/* The variables that both policies begin with. */}}
{{- define "tokend.injection.variables" -}}
- name: given
  expression: >-
    {{ include "tokend.injection.annotations" . }}.map(k, "tokend.dev/" + k)
    .filter(k, k in object.metadata.?annotations.orValue({}) || k in namespaceObject.metadata.?annotations.orValue({}))
    .transformMapEntry(i, k, {k: object.metadata.?annotations[?k].orValue(namespaceObject.metadata.?annotations[?k].orValue(""))})
- name: ann
  expression: >-
    variables.given.transformMap(k, v,
    {{ include "tokend.injection.good" . | nindent 4 | trim }}, v)
- name: socket
  expression: >-
    variables.ann[?"tokend.dev/socket"].orValue({{ .Values.injection.socket | toJson }}).split(",").map(n, n.trim()).filter(n, n != "")
- name: secret
  expression: variables.ann[?"tokend.dev/secret"].orValue({{ .Values.injection.secret | toJson }})
- name: identity
  expression: >-
    variables.ann[?"tokend.dev/identity"].orValue({{ .Values.injection.identity | toJson }}).split(",").map(n, n.trim()).filter(n, n != "")
{{- end }}

{{/*
The containers and init containers of the Pod that `tokend.dev/identity` means, without those that have a managed identity from elsewhere:
half of theirs and half of ours would show our secret to somebody else.
*/}}
{{- define "tokend.injection.identified" -}}
(object.spec.containers + object.spec.?initContainers.orValue([]))
.filter(c, c.name != "tokend" && variables.identity.exists(n, n == "*" || n == c.name)
&& !c.?env.orValue([]).exists(e, e.name in ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"])).map(c, c.name)
{{- end }}

{{/*
The variables of Azure SDKs for the containers of a list, as steps of a patch in CEL; a container without any variable gets the list first.
ApplyConfiguration could not do it: it takes no secretKeyRef.
*/}}
{{- define "tokend.injection.identity" -}}
{{- $steps := list -}}
{{- $each := printf "object.spec.?%s.orValue([]).transformList(i, c, variables.secret != \"\" && c.name in variables.identified" . -}}
{{- $path := printf "\"/spec/%s/\" + string(i) + \"/env" . -}}
{{- $steps = append $steps (printf "%s && !has(c.env), JSONPatch{op: \"add\", path: %s\", value: []})" $each $path) -}}
{{- $endpoint := dict "name" "IDENTITY_ENDPOINT" "value" (include "tokend.identityEndpoint" .) -}}
{{- $header := dict "name" "IDENTITY_HEADER" "valueFrom" (dict "secretKeyRef" (dict "name" (dict "$cel" "variables.secret") "key" "identity-header")) -}}
{{- range list $endpoint $header -}}
  {{- $steps = append $steps (printf "%s, JSONPatch{op: \"add\", path: %s/-\", value: dyn(%s)})" $each $path (include "tokend.cel" .)) -}}
{{- end -}}
{{- /* AZURE_FEDERATED_TOKEN_FILE, which the webhook of Azure workload identity sets, would win otherwise. */ -}}
{{- $which := include "tokend.cel" (dict "name" "AZURE_TOKEN_CREDENTIALS" "value" "ManagedIdentityCredential") -}}
{{- $unset := "!c.?env.orValue([]).exists(e, e.name == \"AZURE_TOKEN_CREDENTIALS\")" -}}
{{- $steps = append $steps (printf "%s && %s, JSONPatch{op: \"add\", path: %s/-\", value: dyn(%s)})" $each $unset $path $which) -}}
{{- join "\n+ " $steps -}}
{{- end }}

{{/* Which Pods: those that ask, outside of kube-system. (list $ asked) */}}
{{- define "tokend.injection.match" -}}
{{- $selector := deepCopy .Values.injection.objectSelector -}}
{{- $_ := set $selector "matchLabels" (merge (dict "tokend.dev/inject" "true") (default dict $selector.matchLabels)) -}}
{{- $namespaces := deepCopy .Values.injection.namespaceSelector -}}
{{- $_ := set $namespaces "matchLabels" (merge (dict "tokend.dev/injection" "enabled") (default dict $namespaces.matchLabels)) -}}
{{- $outside := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (list "kube-system") -}}
{{- $_ := set $namespaces "matchExpressions" (prepend (default list $namespaces.matchExpressions) $outside) -}}
matchPolicy: Equivalent
namespaceSelector:
  {{- toYaml $namespaces | nindent 2 }}
objectSelector:
  {{- toYaml $selector | nindent 2 }}
resourceRules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
{{- end }}

{{/* The volumes, as a list in CEL. */}}
{{- define "tokend.injection.volumes" -}}
{{- $volumes := list -}}
{{- range include "tokend.container.volumes" (dict "root" . "mode" "injection") | fromYamlArray -}}
  {{- if eq .name "tokend-secrets" -}}
    {{- /* A Pod without secrets mounts an empty volume, so that the container is the same. */ -}}
    {{- $none := include "tokend.cel" (dict "name" .name "emptyDir" (dict "medium" "Memory" "sizeLimit" "1Mi")) -}}
    {{- $volumes = append $volumes (dict "$cel" (printf "variables.secret == \"\" ? dyn(%s) : dyn(%s)" $none (include "tokend.cel" .))) -}}
  {{- else -}}
    {{- $volumes = append $volumes . -}}
  {{- end -}}
{{- end -}}
{{- include "tokend.cel" $volumes -}}
{{- end }}

{{/* A step of a patch that adds one value, as CEL: (list condition path value). */}}
{{- define "tokend.injection.add" -}}
({{ index . 0 }} ? [JSONPatch{op: "add", path: {{ index . 1 | toJson }}, value: {{ index . 2 }}}] : [])
{{- end }}

{{/* An entry for each container of a list that lacks it, as CEL: (list "containers" filter member). */}}
{{- define "tokend.injection.each" -}}
{{ index . 0 }}: object.spec.?{{ index . 0 }}.orValue([]).filter(c, c.name != "tokend" && {{ index . 1 }}).map(c, Object.spec.{{ index . 0 }}{name: c.name, {{ index . 2 | replace "TYPE" (printf "Object.spec.%s" (index . 0)) }}})
{{- end }}
