{{- define "portcullis.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "portcullis.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- $name := include "portcullis.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 57 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 57 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "portcullis.selectorLabels" -}}
app.kubernetes.io/name: {{ include "portcullis.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portcullis.labels" -}}
{{ include "portcullis.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "portcullis.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "portcullis.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "portcullis.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* Whether there may be more than one replica. */}}
{{- define "portcullis.many" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) }}true{{ end }}
{{- end }}

{{/* Whether a provider's key is read from existingSecret. */}}
{{- define "portcullis.keys" -}}
{{- range $name, $upstream := .Values.upstreams }}{{ if $upstream.secretKey }}true{{ end }}{{ end }}
{{- end }}

{{/* What cannot work, said before anything is made. */}}
{{- define "portcullis.check" -}}
{{- if and (include "portcullis.keys" .) (not .Values.existingSecret) }}
{{- fail "upstreams with a secretKey need existingSecret: the Secret that holds their API keys" }}
{{- end }}
{{- if and .Values.persistence.enabled (include "portcullis.many" .) }}
{{- fail "persistence is for one replica: replicas share PostgreSQL (store.existingSecret) instead of a volume" }}
{{- end }}
{{- if and .Values.fleet.redisUrl (not .Values.store.existingSecret) (not .Values.config) }}
{{- fail "a fleet needs a store that all replicas share: store.existingSecret" }}
{{- end }}
{{- end }}

{{/* gateway.toml. Strings are written as JSON, which TOML reads as its own. */}}
{{- define "portcullis.config" -}}
{{- if .Values.config }}
{{- .Values.config }}
{{- else -}}
{{- $listen := "0.0.0.0:8080" }}
{{- if eq .Values.mode "sidecar" }}{{ $listen = printf "127.0.0.1:%d" (int .Values.sidecar.port) }}{{ end -}}
[[listeners]]
protocol = "http"
address = "{{ $listen }}"

[ops]
address = "0.0.0.0:9090"

[record]
path = "/var/lib/portcullis/records.jsonl"

[store]
{{- if .Values.store.existingSecret }}
url_env = "PORTCULLIS_STORE_URL"
{{- else }}
url = "sqlite:///var/lib/portcullis/portcullis.db"
{{- end }}
spool = "/var/lib/portcullis/spool"
spool_max = "256MiB"

[audit]
directory = "/var/lib/portcullis/audit"
spool_max = "64MiB"

[telemetry]
log_format = "json"
{{- if .Values.fleet.redisUrl }}

[fleet]
redis_url = {{ .Values.fleet.redisUrl | toJson }}
{{- if .Values.fleet.existingSecret }}
password_env = "REDIS_PASSWORD"
{{- end }}
{{- end }}
{{- if .Values.rules }}

[rules]
directories = ["/etc/portcullis-rules"]
{{- end }}
{{- range $name, $upstream := .Values.upstreams }}

[upstreams.{{ $name }}]
kind = {{ $upstream.kind | toJson }}
{{- if $upstream.base_url }}
base_url = {{ $upstream.base_url | toJson }}
{{- end }}
{{- if $upstream.secretKey }}
api_key_file = {{ printf "/var/run/secrets/portcullis/%s" $upstream.secretKey | toJson }}
{{- end }}
{{- end }}
{{- if .Values.extraConfig }}

{{ .Values.extraConfig | trim }}
{{- end }}
{{- end }}
{{- end }}

{{/* The container, without what differs between a gateway and a sidecar. */}}
{{- define "portcullis.container" -}}
name: portcullis
image: {{ include "portcullis.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.mode "sidecar" }}
# What makes an init container a sidecar: it starts before the application and ends after it.
restartPolicy: Always
{{- end }}
ports:
  {{- if eq .Values.mode "gateway" }}
  - name: http
    containerPort: 8080
  {{- end }}
  - name: ops
    containerPort: 9090
startupProbe:
  httpGet: { path: /startupz, port: ops }
  periodSeconds: 2
  failureThreshold: 90
readinessProbe:
  httpGet: { path: /readyz, port: ops }
  periodSeconds: 5
livenessProbe:
  httpGet: { path: /livez, port: ops }
  periodSeconds: 10
  failureThreshold: 3
{{- if .Values.preStopSleepSeconds }}
lifecycle:
  preStop:
    sleep: { seconds: {{ .Values.preStopSleepSeconds }} }
{{- end }}
securityContext:
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities: { drop: [ALL] }
resources:
  {{- toYaml .Values.resources | nindent 2 }}
env:
  # A configuration that is sent for validation stands there for a moment.
  - name: TMPDIR
    value: /var/lib/portcullis
  {{- if .Values.store.existingSecret }}
  - name: PORTCULLIS_STORE_URL
    valueFrom:
      secretKeyRef: { name: {{ .Values.store.existingSecret }}, key: {{ .Values.store.secretKey }} }
  {{- end }}
  {{- if .Values.fleet.existingSecret }}
  - name: REDIS_PASSWORD
    valueFrom:
      secretKeyRef: { name: {{ .Values.fleet.existingSecret }}, key: {{ .Values.fleet.secretKey }} }
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  # Whole directories: a subPath would never see a change.
  - { name: portcullis-config, mountPath: /etc/portcullis, readOnly: true }
  {{- if .Values.rules }}
  - { name: portcullis-rules, mountPath: /etc/portcullis-rules, readOnly: true }
  {{- end }}
  {{- if .Values.existingSecret }}
  - { name: portcullis-keys, mountPath: /var/run/secrets/portcullis, readOnly: true }
  {{- end }}
  - { name: portcullis-data, mountPath: /var/lib/portcullis }
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The same as an item of the pod's initContainers. */}}
{{- define "portcullis.sidecar" -}}
- {{ include "portcullis.container" . | nindent 2 | trim }}
{{- end }}

{{- define "portcullis.volumes" -}}
- name: portcullis-config
  configMap: { name: {{ include "portcullis.fullname" . }} }
{{- if .Values.rules }}
- name: portcullis-rules
  configMap: { name: {{ include "portcullis.fullname" . }}-rules }
{{- end }}
{{- if .Values.existingSecret }}
- name: portcullis-keys
  secret: { secretName: {{ .Values.existingSecret }}, defaultMode: 0440 }
{{- end }}
- name: portcullis-data
  {{- if and .Values.persistence.enabled (eq .Values.mode "gateway") }}
  persistentVolumeClaim: { claimName: {{ default (include "portcullis.fullname" .) .Values.persistence.existingClaim }} }
  {{- else }}
  emptyDir: { sizeLimit: {{ .Values.persistence.emptyDirSize }} }
  {{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "portcullis.podSecurity" -}}
runAsNonRoot: true
fsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}
