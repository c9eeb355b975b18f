// What a person reads when a fleet is up.
import type { Fleet } from './fleet.ts'

/** A table of what listens where, and how to place calls. `logs` is the folder as it is shown. */
export function formatFleet(fleet: Fleet, { isOwnToken, logs }: { isOwnToken: boolean; logs: string }): string {
  const { redis, postgres, haproxy, model, pods, workers } = fleet
  const rows: string[][] = [
    ['what', 'listens on', 'pid', 'log'],
    ['HAProxy (way in)', haproxy.url, String(haproxy.pid), 'haproxy.log'],
    ...[...pods, ...workers].map(({ name, url, pid }) => [name, url, String(pid), `${name}.log`]),
    ['Redis', redis.url, String(redis.pid), ''],
    ['PostgreSQL', postgres.url, String(postgres.pid), ''],
    model === undefined
      ? ['model', 'as the environment says', '', '']
      : ['offline model', model.url, String(model.program.pid), 'model.log'],
  ]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const table = rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd())
  return `\n${table.join('\n')}\n\nLogs: ${logs}\n\n${advice(fleet, isOwnToken, logs)}\n`
}

function advice({ haproxy, model, env }: Fleet, isOwnToken: boolean, logs: string): string {
  const token = isOwnToken ? `TWILIO_AUTH_TOKEN=${env.TWILIO_AUTH_TOKEN} ` : ''
  const witness = model === undefined ? '' : ` --model-witness ${logs}/model.jsonl`
  return `Place ten calls through it, from another terminal:
  ${token}npm run load -- --url ${haproxy.url} --calls 10 --hold-s 20${witness}
Look at a pod past HAProxy, which lets only the carrier's paths in: curl <pod>/ready, or
  curl -H 'Authorization: Bearer ${env.ADMIN_TOKEN}' <pod>/metrics
Ctrl-C drains and ends everything; a second one ends it at once.`
}
