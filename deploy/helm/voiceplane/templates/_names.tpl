{{- /* Names and labels. A release has one name; each part adds its own. */ -}}
{{- define "voiceplane.name" -}}
{{- $base := ternary .Release.Name (printf "%s-voiceplane" .Release.Name) (contains "voiceplane" .Release.Name) -}}
{{- $base | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "voiceplane.image" -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}

{{- /* Labels that select: never changed, since selectors cannot be. Call with (dict "root" . "part" "edge"). */ -}}
{{- define "voiceplane.selector" -}}
app.kubernetes.io/name: voiceplane
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "voiceplane.labels" -}}
{{ include "voiceplane.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- /* The headless Service that names every pod which exists, ready or leaving. */ -}}
{{- define "voiceplane.podsHost" -}}
{{ include "voiceplane.name" . }}-pods.{{ .Release.Namespace }}.svc.{{ .Values.ingress.clusterDomain }}
{{- end -}}

{{- /* The most edge pods that are wanted at one time. */ -}}
{{- define "voiceplane.podsMax" -}}
{{ ternary .Values.autoscaling.maxReplicas .Values.edge.replicas .Values.autoscaling.enabled }}
{{- end -}}

{{- define "voiceplane.podSlots" -}}
{{- $computed := add 1 (div (mul 5 (include "voiceplane.podsMax" . | int)) 2) -}}
{{- ternary .Values.ingress.podSlots $computed (gt (int .Values.ingress.podSlots) 0) -}}
{{- end -}}

{{- /* What the fleet is scaled on. */ -}}
{{- define "voiceplane.metric" -}}
{{ ternary "voice_demand_calls" "voice_active_calls" (eq .Values.autoscaling.measure "demand") }}
{{- end -}}

{{- define "voiceplane.luaPath" -}}/usr/local/etc/haproxy/pod-slot.lua{{- end -}}
