{{- /* What must fit together in `limits`, as src/control/limits.ts asks it of LIMITS_FILE: one line for each problem. The schema has held the forms. */ -}}
{{- define "voiceplane.limitProblems" -}}
{{- $found := list -}}
{{- $limit := 0 -}}
{{- $names := list -}}
{{- range .pools -}}
{{- $limit = add $limit (int .callsMax) -}}
{{- if has .pool $names -}}{{- $found = append $found (printf "limits.pools: %s stands there twice; give each its own name" .pool) -}}{{- end -}}
{{- $names = append $names .pool -}}
{{- end -}}
{{- $tenants := list -}}
{{- $numbers := dict -}}
{{- $sum := 0 -}}
{{- range .tenants -}}
{{- $tenant := .tenant -}}
{{- if has $tenant $tenants -}}{{- $found = append $found (printf "limits.tenants: %s stands there twice; give each its own name" $tenant) -}}{{- end -}}
{{- $tenants = append $tenants $tenant -}}
{{- $sum = add $sum (int (default 0 .guaranteed)) -}}
{{- range .numbers -}}
{{- if hasKey $numbers . -}}{{- $found = append $found (printf "limits.tenants: %s is a number of %s and of %s; leave it with one tenant" . (get $numbers .) $tenant) -}}{{- end -}}
{{- $_ := set $numbers . $tenant -}}
{{- end -}}
{{- end -}}
{{- range concat (default (list) .tenants) (list (default (dict) .otherTenants)) -}}
{{- $burst := $limit -}}
{{- if hasKey . "burst" -}}{{- $burst = int .burst -}}{{- end -}}
{{- if gt (int (default 0 .guaranteed)) (int $burst) -}}
{{- $found = append $found (printf "limits: %s has guaranteed %d, more than the burst %d; make it the burst or less" (default "otherTenants" .tenant) (int .guaranteed) (int $burst)) -}}
{{- end -}}
{{- end -}}
{{- $reserve := default (dict) .reserve -}}
{{- $inbound := int (default 0 $reserve.inbound) -}}
{{- if and (hasKey $reserve "outbound") (lt (int $reserve.outbound) $inbound) -}}
{{- $found = append $found (printf "limits.reserve.outbound is %d, less than that of inbound calls; make it %d or more" (int $reserve.outbound) $inbound) -}}
{{- end -}}
{{- if ge $inbound (int $limit) -}}
{{- $found = append $found (printf "limits.reserve.inbound is %d: the pools together bear %d, no call could enter; make it smaller" $inbound (int $limit)) -}}
{{- end -}}
{{- if gt (int $sum) (sub (int $limit) $inbound | int) -}}
{{- $found = append $found (printf "limits.tenants guarantee %d calls together; the pools bear %d, of which %d are reserved; lower the guarantees, or raise the pools" (int $sum) (int $limit) $inbound) -}}
{{- end -}}
{{- $found | join "\n" -}}
{{- end -}}
