{{- /* What a schema cannot say. Each message names the value and the fix. */ -}}
{{- define "voiceplane.checks" -}}
{{- $v := .Values -}}
{{- $e := $v.edge -}}
{{- if not (regexMatch "^https://[^/?#]+$" $v.publicBaseUrl) -}}
{{- fail "publicBaseUrl: set the https:// address at which the carrier reaches the plane, scheme and host only" -}}
{{- end -}}
{{- /* Whole seconds, rounded up. */ -}}
{{- $moving := div (sub (add (int $e.callsMax) (int $e.handoversPerSecond)) 1) (int $e.handoversPerSecond) -}}
{{- if ge (add $moving 60) (int $e.graceSeconds) -}}
{{- fail (printf "edge: callsMax / handoversPerSecond + 60 is %d s and must be below graceSeconds (%d): a leaving pod would be killed with calls on it" (add $moving 60) (int $e.graceSeconds)) -}}
{{- end -}}
{{- if gt (add (int $e.drainDeadlineSeconds) (int $e.preStopSeconds) 15) (int $e.graceSeconds) -}}
{{- fail (printf "edge: drainDeadlineSeconds + preStopSeconds + 15 must be at most graceSeconds (%d)" (int $e.graceSeconds)) -}}
{{- end -}}
{{- $secrets := concat $v.secrets.keys (keys $v.secrets.from) -}}
{{- range list "TWILIO_AUTH_TOKEN" "STREAM_TOKEN_SECRET" "REDIS_URL" "DATABASE_URL" -}}
{{- if not (has . $secrets) -}}
{{- fail (printf "secrets: %s is neither in secrets.keys nor in secrets.from" .) -}}
{{- end -}}
{{- end -}}
{{- if not (or (has "OPENAI_API_KEY" $secrets) (has "AZURE_OPENAI_API_KEY" $secrets)) -}}
{{- fail "secrets: name OPENAI_API_KEY or AZURE_OPENAI_API_KEY in secrets.keys or secrets.from" -}}
{{- end -}}
{{- range $name := $v.secrets.keys -}}
{{- if hasKey $v.secrets.from $name -}}{{- fail (printf "secrets: %s is in secrets.keys and in secrets.from; keep one" $name) -}}{{- end -}}
{{- end -}}
{{- if gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail "autoscaling: minReplicas is more than maxReplicas" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "keda") (not $v.autoscaling.keda.prometheusUrl) -}}
{{- fail "autoscaling.keda.prometheusUrl: set the address of Prometheus, or autoscaling.kind to hpa" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (ge (float64 $v.autoscaling.demandPerPod) (float64 $e.callsMax)) -}}
{{- fail "autoscaling: demandPerPod must be below edge.callsMax: a pod without room makes every burst wait" -}}
{{- end -}}
{{- if lt (include "voiceplane.podSlots" . | int) (include "voiceplane.podsMax" . | int) -}}
{{- fail "ingress.podSlots is below the number of pods: some would get no call" -}}
{{- end -}}
{{- end -}}
