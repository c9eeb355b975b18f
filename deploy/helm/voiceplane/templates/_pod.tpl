{{- /* What the pods of all roles share. */ -}}

{{- /* In a trial the database comes with the pods, too late for a Job before them; migrations take turns by themselves. */ -}}
{{- define "voiceplane.tryMigration" -}}
{{- if and .Values.try.enabled .Values.migrate.enabled -}}
initContainers:
  - name: migrate
    image: {{ include "voiceplane.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [migrate]
    env:
      - { name: POD_NAME, value: migrate }
      {{- include "voiceplane.env" (dict "root" . "without" list) | nindent 6 }}
    resources: {{- toYaml .Values.migrate.resources | nindent 6 }}
    securityContext: {{- include "voiceplane.containerSecurity" . | nindent 6 }}
    volumeMounts:
      - { name: data, mountPath: /data }
      - { name: tmp, mountPath: /tmp }
      - { name: secrets, mountPath: /run/secrets/voiceplane, readOnly: true }
{{- end -}}
{{- end -}}

{{- /* What is left for a drain. Kubernetes counts the grace from the beginning of preStop; five seconds are for the end of the process. */ -}}
{{- define "voiceplane.drainSeconds" -}}
{{- sub (sub (int .Values.edge.graceSeconds) (int .Values.edge.preStopSeconds)) 5 -}}
{{- end -}}

{{- define "voiceplane.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "voiceplane.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: { drop: [ALL] }
{{- end -}}

{{- /* Environment without what differs from pod to pod. Call with (dict "root" . "without" (list NAME…)). */ -}}
{{- define "voiceplane.env" -}}
{{- $values := .root.Values -}}
- { name: NODE_ENV, value: production }
- { name: HOST, value: 0.0.0.0 }
- { name: PORT, value: {{ int $values.edge.port | quote }} }
- { name: PUBLIC_BASE_URL, value: {{ $values.publicBaseUrl | quote }} }
- { name: CELL, value: {{ $values.cell | quote }} }
{{- if not $values.limits }}
- { name: CEILING_CALLS, value: {{ int $values.ceilingCalls | quote }} }
{{- end }}
- { name: DATA_DIR, value: /data }
{{- range $name := concat $values.secrets.keys (keys $values.secrets.from) | sortAlpha | uniq }}
{{- if not (has $name $.without) }}
- { name: {{ $name }}_FILE, value: /run/secrets/voiceplane/{{ $name }} }
{{- end }}
{{- end }}
{{- range $name, $place := $values.secrets.extra }}
{{- if eq (default "file" $place.as) "env" }}
- { name: {{ $name }}, valueFrom: { secretKeyRef: { name: {{ default $values.secrets.name $place.name }}, key: {{ default $name $place.key }} } } }
{{- else }}
- { name: {{ $name }}_FILE, value: /run/secrets/voiceplane/{{ $name }} }
{{- end }}
{{- end }}
{{- range $name, $value := $values.agentSettings }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- range $name, $value := $values.settings }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end -}}

{{- /* The secrets as files: those of the one Secret, and those that lie elsewhere. */ -}}
{{- define "voiceplane.secretVolume" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- with .Values.secrets.keys }}
      - secret:
          name: {{ $.Values.secrets.name }}
          items:
            {{- range . }}
            - { key: {{ . }}, path: {{ . }} }
            {{- end }}
      {{- end }}
      {{- range $name, $place := .Values.secrets.from }}
      - secret:
          name: {{ $place.name }}
          items:
            - { key: {{ $place.key }}, path: {{ $name }} }
      {{- end }}
      {{- range $name, $place := .Values.secrets.extra }}
      {{- if eq (default "file" $place.as) "file" }}
      - secret:
          name: {{ default $.Values.secrets.name $place.name }}
          items:
            - { key: {{ default $name $place.key }}, path: {{ $name }} }
      {{- end }}
      {{- end }}
{{- end -}}

{{- /* How a Prometheus without the operator finds /metrics. Call with (dict "root" . "port" 8080). */ -}}
{{- define "voiceplane.scrape" -}}
{{- $m := .root.Values.monitoring -}}
{{- if and $m.annotations (not $m.serviceMonitor) -}}
prometheus.io/scrape: "true"
prometheus.io/path: /metrics
prometheus.io/port: {{ int .port | quote }}
{{- end -}}
{{- end -}}

{{- /* What `helm test` runs, and removes when it has passed. */ -}}
{{- define "voiceplane.testHook" -}}
helm.sh/hook: test
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "voiceplane.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "voiceplane.spread" -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: { matchLabels: { {{ include "voiceplane.selector" . | replace "\n" ", " }} } }
- maxSkew: 2
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector: { matchLabels: { {{ include "voiceplane.selector" . | replace "\n" ", " }} } }
{{- end -}}
