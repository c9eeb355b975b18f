// Pods, what they turn away, regions, processors and how fast a fleet grows. Rules:
// PLN1: pods = ceil((1 + headroom) · calls ÷ target).
// PLN2: blocking and waiting are those of Erlang's formulas, offered as many calls as are at once at the peak. Placement is fleet-wide,
//       so that the fleet is one group of servers; a pod alone is shown beside it.
// PLN3: with R regions each has pods enough for its share at the target with headroom, for its share at the ceiling with one of its pods
//       gone, and for its part of everything at the ceiling when another whole region is gone. One region alone cannot lose itself.
// PLN4: what carries growth until new pods are ready is the room between today's calls and the ceiling.
import { erlangB, erlangC, meanWaitS, SERVERS_MAX } from './erlang.ts'
import type { PlanInput } from './flags.ts'
import { counted, plain, type Row, roundUp, row, type Section } from './row.ts'

/** [PLN1] */
export function podsFor(calls: number, perPod: number, headroomPercent: number): number {
  return Math.max(1, roundUp(((100 + headroomPercent) * calls) / (100 * perPod)))
}

/** Pods of each region, and what asks for them. */
type RegionPods = {
  atTarget: number
  podLost: number
  regionLost: number | undefined
  each: number
  all: number
}

/** [PLN3] */
export function regionPods(input: PlanInput): RegionPods {
  const { calls, regions, target, ceiling, headroom } = input
  const share = calls / regions
  const atTarget = podsFor(share, target, headroom)
  const podLost = podsFor(share, ceiling, 0) + 1
  const regionLost = regions === 1 ? undefined : podsFor(calls / (regions - 1), ceiling, 0)
  const each = Math.max(atTarget, podLost, regionLost ?? 0)
  return { atTarget, podLost, regionLost, each, all: each * regions }
}

/** Calls a second that begin, when as many end. */
export const arrivalsPerSecond = ({ calls, minutes }: PlanInput): number => calls / (minutes * 60)

export function podSections(input: PlanInput): Section[] {
  const { calls, target, ceiling, headroom } = input
  const planned = podsFor(calls, target, headroom)
  return [
    {
      title: 'Pods',
      rows: [
        row(
          'arrivals',
          arrivalsPerSecond(input),
          'calls/s',
          `${counted(calls, 'call')} ÷ ${plain(input.minutes * 60)} s`,
        ),
        row('at the target', podsFor(calls, target, 0), 'pods', `ceil(${calls} ÷ ${target})`),
        row(
          'at the target, with headroom',
          planned,
          'pods',
          `ceil(${plain(1 + headroom / 100)} · ${calls} ÷ ${target}); full lines and growth are for these`,
        ),
        row(
          'at the ceiling',
          podsFor(calls, ceiling, 0),
          'pods',
          `ceil(${calls} ÷ ${ceiling}): all full, none may be lost`,
        ),
        row(
          'at the ceiling, with headroom',
          podsFor(calls, ceiling, headroom),
          'pods',
          `ceil(${plain(1 + headroom / 100)} · ${calls} ÷ ${ceiling})`,
        ),
        row('calls a pod holds', calls / planned, 'calls', 'mean at the peak over the pods planned'),
        row(
          'cells',
          Math.ceil(planned / input['cell-pods']),
          'cells',
          `${input['cell-pods']} pods a cell; a cell bounds what one fault can reach`,
        ),
      ],
    },
    { title: 'Full lines', rows: lineRows(input, planned) },
    { title: `Regions: ${input.regions}`, rows: regionRows(input) },
    { title: 'Processors and memory', rows: machineRows(input, regionPods(input).all) },
    { title: 'Growth', rows: growthRows(input, planned) },
  ]
}

/** [PLN2] */
function lineRows({ calls, minutes, target, ceiling }: PlanInput, pods: number): Row[] {
  const group = (name: string, servers: number, erlangs: number, basis: string): Row[] => {
    if (servers > SERVERS_MAX) return [row(`${name}: blocked`, undefined, '', `more than ${SERVERS_MAX} places`)]
    const waitS = meanWaitS(servers, erlangs, minutes * 60)
    return [
      row(`${name}: blocked`, erlangB(servers, erlangs), 'of calls', `Erlang B, ${basis}`),
      row(
        `${name}: wait`,
        erlangC(servers, erlangs),
        'of calls',
        `Erlang C, if callers queue instead of being refused`,
      ),
      row(
        `${name}: mean wait of those`,
        waitS,
        's',
        waitS === undefined ? 'the line grows for ever' : 'mean length ÷ places that stay free',
      ),
    ]
  }
  const alone = calls / pods
  return [
    ...group(
      'fleet to the target',
      Math.floor(pods * target),
      calls,
      `${Math.floor(pods * target)} places, ${calls} Erlang`,
    ),
    ...group(
      'fleet to the ceiling',
      Math.floor(pods * ceiling),
      calls,
      `${Math.floor(pods * ceiling)} places, ${calls} Erlang`,
    ),
    row(
      'a pod that shared with none: blocked',
      erlangB(Math.floor(ceiling), alone),
      'of calls',
      `Erlang B, ${Math.floor(ceiling)} places, ${plain(alone)} Erlang; placement over the whole fleet avoids it`,
    ),
  ]
}

function regionRows(input: PlanInput): Row[] {
  const { calls, regions, target, ceiling } = input
  const pods = regionPods(input)
  const afterLoss = regions === 1 ? undefined : calls / (regions - 1) / pods.each
  return [
    row('each, for its share', pods.atTarget, 'pods', `${counted(calls / regions, 'call')} at ${target} with headroom`),
    row('each, to lose a pod', pods.podLost, 'pods', `its share at ${ceiling}, and one pod more`),
    row(
      'each, to lose a region',
      pods.regionLost,
      'pods',
      regions === 1
        ? 'one region cannot lose itself: plan with 2 or more'
        : `${counted(calls / (regions - 1), 'call')} at ${ceiling} in each that is left, nothing to spare`,
    ),
    row(
      'each',
      pods.each,
      'pods',
      'the largest of these; stores, network and processors below are for the pods of all regions together',
    ),
    row('in all', pods.all, 'pods', `${regions} × ${pods.each}`),
    ...(afterLoss === undefined
      ? []
      : [
          row(
            'calls a pod, a region gone',
            afterLoss,
            'calls',
            `${regions - 1} of ${regions} regions hold all; ceiling ${ceiling}`,
          ),
        ]),
  ]
}

function machineRows(input: PlanInput, pods: number): Row[] {
  const cores = (input.calls * input['cpu-ms']) / 1_000
  const measured = `${input['cpu-ms']} CPU-ms a call-second; 1.34 is one machine's measure (2-core AMD EPYC, pcmu, no TLS): measure yours`
  return [
    row('busy cores in all', cores, 'cores', measured),
    row(
      'busy cores a pod',
      cores / pods,
      'cores',
      'at the mean; a pod is one thread, so it never uses more than about one',
    ),
    row(
      'calls that would fill a core',
      1_000 / input['cpu-ms'],
      'calls',
      'the ceiling is set by what one pod may take down, not by this',
    ),
    row(
      'memory of live calls',
      (input.calls * input['call-kb']) / 1_000,
      'MB',
      `${input['call-kb']} kB a call, measured on the same machine, beside what a process needs to begin`,
    ),
  ]
}

/** [PLN4] */
function growthRows(input: PlanInput, pods: number): Row[] {
  const { calls, ceiling } = input
  const reactionS = input['metric-s'] + input['sync-s'] + input['start-s']
  const spare = Math.max(0, pods * ceiling - calls)
  return [
    row(
      'HPA reaction',
      reactionS,
      's',
      `scrape ${input['metric-s']} + sync ${input['sync-s']} + start ${input['start-s']}`,
    ),
    row('spare places', spare, 'calls', `${counted(pods, 'pod')} · ${ceiling} − ${calls}`),
    row(
      'growth carried',
      (100 * spare) / calls / reactionS,
      '% a second',
      'spare places filled just as new pods are ready; a faster burst queues',
    ),
    row('the same in calls', spare / reactionS, 'calls/s', 'net, beyond those that replace calls that end'),
    row(
      'metric that must be scaled on',
      input.target / (1 + input.headroom / 100),
      'calls a pod',
      'voice_demand_calls as AverageValue; the HPA is blind within ±10 %',
    ),
  ]
}
