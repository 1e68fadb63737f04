{{/* The name of everything: the release's, with pixpool in it. */}}
{{- define "pixpool.name" -}}
{{- if contains "pixpool" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-pixpool" .Release.Name }}{{ end -}}
{{- end }}

{{- define "pixpool.selector" -}}
app.kubernetes.io/name: pixpool
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pixpool.labels" -}}
{{ include "pixpool.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "pixpool.image" -}}
{{- $tag := .Values.image.tag | default (printf "%s%s" .Chart.AppVersion (ternary "-cuda" "" (gt (int .Values.gpus) 0))) -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ $tag }}{{ end -}}
{{- end }}

{{- define "pixpool.tlsSecret" -}}
{{ .Values.tls.secret | default (printf "%s-tls" (include "pixpool.name" .)) }}
{{- end }}

{{- define "pixpool.tokensSecret" -}}
{{ .Values.tokens.secret | default (printf "%s-tokens" (include "pixpool.name" .)) }}
{{- end }}

{{- define "pixpool.claim" -}}
{{ .Values.models.claim.existing | default (printf "%s-models" (include "pixpool.name" .)) }}
{{- end }}

{{/* The host name of the service, which the certificate must have. */}}
{{- define "pixpool.host" -}}
{{ include "pixpool.name" . }}.{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* The server's environment: what the chart sets, then the options. */}}
{{- define "pixpool.environment" -}}
PIXPOOL_LISTEN: 0.0.0.0:50051
PIXPOOL_HTTP_LISTEN: 0.0.0.0:8080
PIXPOOL_MODELS_DIR: {{ ternary "/mnt/image/models" "/models" (eq .Values.models.from "image") }}
{{- if gt (int .Values.gpus) 0 }}
PIXPOOL_DEVICE: cuda
{{- end }}
{{- if .Values.tls.enabled }}
PIXPOOL_TLS_CERT: /etc/pixpool/tls/tls.crt
PIXPOOL_TLS_KEY: /etc/pixpool/tls/tls.key
{{- if .Values.tls.mutual }}
PIXPOOL_TLS_CLIENT_CA: /etc/pixpool/tls/ca.crt
{{- end }}
{{- end }}
{{- if .Values.tokens.enabled }}
PIXPOOL_TOKENS: /etc/pixpool/tokens/tokens
{{- end }}
{{- range $name, $value := .Values.options }}
PIXPOOL_{{ $name | upper | replace "-" "_" }}: {{ kindIs "float64" $value | ternary (toJson $value) (toString $value) | quote }}
{{- end }}
{{- end }}

{{/* A probe's question: Kubernetes' own gRPC probes speak plain text only. */}}
{{- define "pixpool.ready" -}}
{{- if .Values.tls.enabled }}
httpGet: {path: /readyz, port: metrics}
{{- else }}
grpc: {port: 50051, service: pixpool.v1.FeatureService}
{{- end }}
{{- end }}

{{- define "pixpool.live" -}}
{{- if .Values.tls.enabled }}
httpGet: {path: /livez, port: metrics}
{{- else }}
grpc: {port: 50051, service: /livez}
{{- end }}
{{- end }}

{{- define "pixpool.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "pixpool.resources" -}}
cpu: {{ .Values.resources.cpu | quote }}
memory: {{ .Values.resources.memory }}
{{- if gt (int .Values.gpus) 0 }}
nvidia.com/gpu: {{ .Values.gpus | quote }}
{{- end }}
{{- end }}
