{{- /* What a schema cannot say. Each message names the value and the fix. */ -}}
{{- define "voiceplane.checks" -}}
{{- $v := .Values -}}
{{- $e := $v.edge -}}
{{- if not $v.image.repository -}}
{{- fail "image.repository: set the name under which your image was pushed; a chart that comes with a release has it" -}}
{{- end -}}
{{- if not (regexMatch "^https://[^/?#]+$" $v.publicBaseUrl) -}}
{{- fail "publicBaseUrl: set the https:// address at which the carrier reaches the plane, scheme and host only" -}}
{{- end -}}
{{- /* What src/control/pod-life.ts does: HANDOVER_EVERY_MS is a fifth of a second. Whole seconds, rounded up. */ -}}
{{- $handoversPerSecond := 5 -}}
{{- $moving := div (sub (add (int $e.callsMax) $handoversPerSecond) 1) $handoversPerSecond -}}
{{- $needed := add $moving (max 60 (add (int $e.drainNaturalSeconds) 30)) -}}
{{- $drain := include "voiceplane.drainSeconds" . | int -}}
{{- if ge $needed $drain -}}
{{- fail (printf "edge: handing over callsMax calls takes %d s and must be below graceSeconds - preStopSeconds - 5 (%d): a leaving pod would be killed with calls on it" $needed $drain) -}}
{{- end -}}
{{- /* What src/variables.ts gives WORK_DRAIN_MS, and ten seconds to close. */ -}}
{{- $workDrain := default "30000" (get $v.settings "WORK_DRAIN_MS") | int -}}
{{- if and $v.worker.enabled (le (mul (sub (int $v.worker.graceSeconds) 10) 1000) $workDrain) -}}
{{- fail (printf "worker.graceSeconds: must be more than WORK_DRAIN_MS (%d ms) and 10 s: a leaving worker would be killed with items on it" $workDrain) -}}
{{- end -}}
{{- $secrets := concat $v.secrets.keys (keys $v.secrets.from) -}}
{{- range list "TWILIO_AUTH_TOKEN" "STREAM_TOKEN_SECRET" "REDIS_URL" "DATABASE_URL" -}}
{{- if not (has . $secrets) -}}
{{- fail (printf "secrets: %s is neither in secrets.keys nor in secrets.from" .) -}}
{{- end -}}
{{- end -}}
{{- /* A pool without an endpoint of its own is at the plane's provider. */ -}}
{{- $needsProvider := empty $v.limits -}}
{{- range $pool := $v.limits.pools -}}
{{- if not $pool.endpoint -}}{{- $needsProvider = true -}}
{{- else if not (or (has $pool.endpoint.keyVariable $secrets) (hasKey $v.secrets.extra $pool.endpoint.keyVariable)) -}}
{{- fail (printf "limits: the key of the pool %s is nowhere: write secrets.extra.%s" $pool.pool $pool.endpoint.keyVariable) -}}
{{- end -}}
{{- end -}}
{{- if and $needsProvider (not (or (has "OPENAI_API_KEY" $secrets) (has "AZURE_OPENAI_API_KEY" $secrets) (hasKey $v.settings "OPENAI_REALTIME_URL"))) -}}
{{- fail "secrets: name OPENAI_API_KEY or AZURE_OPENAI_API_KEY in secrets.keys or secrets.from" -}}
{{- end -}}
{{- /* files/settings.json is made from src/variables.ts. The schema has held the texts to their forms. */ -}}
{{- $known := .Files.Get "files/settings.json" | fromJson -}}
{{- $textOfSecret := "^sk-[A-Za-z0-9_-]{16,}|PRIVATE KEY-----|://[^/@\\s]*:[^/@\\s]+@" -}}
{{- range $name, $text := $v.settings -}}
{{- if has $name $known.secrets -}}
{{- fail (printf "settings.%s is a secret: name it in secrets.keys or secrets.from" $name) -}}
{{- end -}}
{{- if hasKey $known.own $name -}}
{{- fail (printf "settings.%s is set by the chart: %s" $name (get $known.own $name)) -}}
{{- end -}}
{{- if regexMatch $textOfSecret $text -}}
{{- fail (printf "settings.%s looks like a secret: put it into a Secret" $name) -}}
{{- end -}}
{{- with get $known.ranges $name -}}
{{- if or (lt (float64 $text) (float64 .min)) (gt (float64 $text) (float64 .max)) -}}
{{- fail (printf "settings.%s cannot be %s: %s" $name $text .words) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $text := $v.agentSettings -}}
{{- if or (has $name $known.names) (has (trimSuffix "_FILE" $name) $known.names) (has $name (list "KUBE_POD_NAME" "POD_IP")) -}}
{{- fail (printf "agentSettings.%s is a variable of the plane: write it in settings, or in secrets" $name) -}}
{{- end -}}
{{- if or (regexMatch "(^|_)(API_?)?(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|$)" $name) (regexMatch $textOfSecret $text) -}}
{{- fail (printf "agentSettings.%s looks like a secret: put it into a Secret and write secrets.extra.%s" $name $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $_ := $v.secrets.extra -}}
{{- if has $name $known.secrets -}}{{- fail (printf "secrets.extra.%s: write it in secrets.keys or secrets.from" $name) -}}{{- end -}}
{{- if has $name $known.names -}}{{- fail (printf "secrets.extra.%s is no secret: write it in settings" $name) -}}{{- end -}}
{{- if hasKey $v.agentSettings $name -}}{{- fail (printf "secrets.extra.%s is in agentSettings too; keep one" $name) -}}{{- end -}}
{{- end -}}
{{- /* What src/config-checks.ts refuses when a pod starts: the rows of its table, over each variable's text. Of a secret there is only the name. */ -}}
{{- $texts := dict "PUBLIC_BASE_URL" $v.publicBaseUrl "POD_NAME" "each pod has one" -}}
{{- range $secrets }}{{- $_ := set $texts . "a secret" -}}{{- end -}}
{{- $texts = merge $texts $v.settings $known.defaults -}}
{{- $found := list -}}
{{- range $known.misfits -}}
{{- $holds := or $v.worker.enabled (ne .asked "workers") -}}
{{- range .when -}}
{{- $isGiven := hasKey $texts .variable -}}
{{- $text := default "" (get $texts .variable) -}}
{{- if eq .is "given" -}}{{- $holds = and $holds $isGiven -}}
{{- else if eq .is "absent" -}}{{- $holds = and $holds (not $isGiven) -}}
{{- else if eq .is "like" -}}{{- $holds = and $holds $isGiven (regexMatch .pattern $text) -}}
{{- else if eq .is "unlike" -}}{{- $holds = and $holds $isGiven (not (regexMatch .pattern $text)) -}}
{{- else if eq .is "no-multiple" -}}{{- $holds = and $holds (ne (mod (int64 $text) (int64 .of)) 0) -}}
{{- else if eq .is "above" -}}{{- $holds = and $holds (gt (float64 $text) (float64 (get $texts .other))) -}}
{{- else -}}{{- fail (printf "files/settings.json: no check knows %q" .is) -}}
{{- end -}}
{{- end -}}
{{- if $holds -}}
{{- $place := ternary "secrets.keys or secrets.from: " "settings." (has .variable $known.secrets) -}}
{{- $found = append $found (printf "%s%s %s; %s" $place .variable .problem .fix) -}}
{{- end -}}
{{- end -}}
{{- if $found -}}{{- fail ($found | uniq | join "\n") -}}{{- end -}}
{{- /* What src/prices.ts refuses. */ -}}
{{- with $v.settings.PRICES -}}
{{- $prices := fromJson . -}}
{{- $keys := prepend $known.prices.amounts "currency" | join ", " -}}
{{- if hasKey $prices "Error" -}}
{{- fail (printf "settings.PRICES is no JSON object: its keys are %s" $keys) -}}
{{- end -}}
{{- range $key, $amount := $prices -}}
{{- if eq $key "currency" -}}
{{- else if not (has $key $known.prices.amounts) -}}
{{- fail (printf "settings.PRICES: take out %q: the keys are %s" $key $keys) -}}
{{- else if or (not (kindIs "float64" $amount)) (lt (float64 $amount) 0.0) (gt (float64 $amount) (float64 $known.prices.max)) -}}
{{- fail (printf "settings.PRICES: write %s as a number from 0 to %d" $key (int $known.prices.max)) -}}
{{- end -}}
{{- end -}}
{{- if not (and (kindIs "string" $prices.currency) (regexMatch $known.prices.currency (toString $prices.currency))) -}}
{{- fail "settings.PRICES: write currency as three capital letters, like \"USD\"" -}}
{{- end -}}
{{- end -}}
{{- /* What src/pod/pod-settings.ts refuses. */ -}}
{{- if not (hasKey $v.settings "PRICES") -}}
{{- range append (default (list) $v.limits.tenants) (default (dict) $v.limits.otherTenants) -}}
{{- if hasKey . "moneyPerDay" -}}
{{- fail "limits: moneyPerDay needs settings.PRICES: without them nobody knows what a call costs" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $v.limits -}}
{{- with include "voiceplane.limitProblems" . -}}{{- fail . -}}{{- end -}}
{{- end -}}
{{- range $name := $v.secrets.keys -}}
{{- if hasKey $v.secrets.from $name -}}{{- fail (printf "secrets: %s is in secrets.keys and in secrets.from; keep one" $name) -}}{{- end -}}
{{- end -}}
{{- $own := $v.networkPolicy.ownIngress -}}
{{- $hasOwn := or $own.namespace $own.podLabels -}}
{{- if and $v.networkPolicy.enabled (not $v.ingress.enabled) (not $hasOwn) -}}
{{- fail "networkPolicy.ownIngress: with ingress.enabled=false no call would get in; name the namespace and the pod labels of your own ingress, or set networkPolicy.enabled=false" -}}
{{- end -}}
{{- if and $v.ingress.enabled $hasOwn -}}
{{- fail "networkPolicy.ownIngress is for ingress.enabled=false: beside the chart's ingress it would reach /internal and /drain" -}}
{{- end -}}
{{- /* What can never scale. The metrics go from /metrics over Prometheus to the autoscaler. */ -}}
{{- if $v.autoscaling.enabled -}}
{{- if and $v.networkPolicy.enabled (not $v.monitoring.namespace) -}}
{{- fail "autoscaling: nothing may read the pods' metrics, so it would never scale; set monitoring.namespace to that of Prometheus, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if not (or $v.monitoring.annotations $v.monitoring.serviceMonitor) -}}
{{- fail "autoscaling: Prometheus is told of no pod, so it would never scale; set monitoring.annotations or monitoring.serviceMonitor to true, or autoscaling.enabled=false" -}}
{{- end -}}
{{- if eq (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas) -}}
{{- fail "autoscaling: minReplicas is maxReplicas, so it would never scale; raise maxReplicas, or set autoscaling.enabled=false and edge.replicas" -}}
{{- end -}}
{{- if and (eq $v.autoscaling.measure "active") (ge (float64 $v.autoscaling.activePerPod) (float64 $e.callsMax)) -}}
{{- fail "autoscaling: activePerPod must be below edge.callsMax: a pod never has more calls, so it would never scale" -}}
{{- end -}}
{{- end -}}
{{- /* Every cluster has this API; `helm template` without a cluster does not. */ -}}
{{- $apis := .Capabilities.APIVersions -}}
{{- if $apis.Has "apiregistration.k8s.io/v1" -}}
{{- if and $v.autoscaling.enabled (eq $v.autoscaling.kind "keda") (not ($apis.Has "keda.sh/v1alpha1")) -}}
{{- fail "autoscaling.kind: this cluster has no KEDA (keda.sh/v1alpha1); install it, or set autoscaling.kind=hpa" -}}
{{- end -}}
{{- if and $v.monitoring.serviceMonitor (not ($apis.Has "monitoring.coreos.com/v1")) -}}
{{- fail "monitoring.serviceMonitor: this cluster has no Prometheus operator (monitoring.coreos.com/v1); install it, or set monitoring.serviceMonitor=false: the pods carry annotations then" -}}
{{- end -}}
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
{{- if and (not $v.limits) (gt (int $v.ceilingCalls) (mul (include "voiceplane.podsMax" . | int) (int $e.callsMax))) -}}
{{- fail "ceilingCalls is more than all pods can hold: raise autoscaling.maxReplicas (or edge.replicas), or lower it" -}}
{{- end -}}
{{- if lt (include "voiceplane.podSlots" . | int) (include "voiceplane.podsMax" . | int) -}}
{{- fail "ingress.podSlots is below the number of pods: some would get no call" -}}
{{- end -}}
{{- end -}}
