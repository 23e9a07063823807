import { MESSAGE_FAULTS, type MessageFault } from '../../cluster/faults/message-fault.ts';
import type { ChaosCluster, ChaosNode } from './chaos-cluster.ts';

/** What is done to a cluster. */
export interface Disturbances {
  /** Seconds between two kills; with the others between. */
  readonly killEvery: number;
  /** Stop a process for a while (SIGSTOP). */
  readonly pause?: boolean;
  /** Hold everything back between a node and the coordinator for a while, one way or both. */
  readonly partition?: boolean;
  /** Double, cut, shorten, lengthen, lose messages, or change a bit. */
  readonly corrupt?: boolean;
}

export type Disturbance = 'kill' | 'pause' | 'partition' | 'corrupt';

/** Which of them there are, in the order of one round. */
export function kindsOf({ pause, partition, corrupt }: Disturbances): Disturbance[] {
  return ['kill', ...(pause ? (['pause'] as const) : []), ...(partition ? (['partition'] as const) : []), ...(corrupt ? (['corrupt'] as const) : [])]; // biome-ignore format: a list
}

/** A message that is lost is noticed by the step's deadline alone, which is long. */
const FAULTS = MESSAGE_FAULTS.filter((fault): fault is Exclude<MessageFault, 'drop'> => fault !== 'drop');
/** How long a pause or a partition lasts, as a part of the time between two kills: some end before they are noticed, some after. */
const [SHORTEST, LONGEST] = [0.1, 0.9];

/**
 * Disturbs a cluster until the function that it gives is called, which heals what it can. In every interval a node
 * is killed, and each of the other kinds strikes once, another node as a rule.
 */
export function disturb(
  cluster: ChaosCluster,
  options: Disturbances,
  say: (text: string) => void,
  random: () => number = Math.random,
): () => void {
  const kinds = kindsOf(options);
  const beatMs = (1000 * options.killEvery) / kinds.length;
  const healers = new Map<NodeJS.Timeout, () => void>();
  let beat = 0;
  const later = (heal: () => void) => {
    const part = SHORTEST + (LONGEST - SHORTEST) * random();
    const timer = setTimeout(
      () => {
        healers.delete(timer);
        heal();
      },
      1000 * options.killEvery * part,
    );
    healers.set(timer, heal);
  };
  const strike = () => {
    const there = cluster.nodes.filter(({ joined }) => joined);
    const node = there[Math.floor(there.length * random())];
    const kind = kinds[beat++ % kinds.length];
    if (node) strikeOne(cluster, node, kind, later, say, random);
  };
  const timer = setInterval(strike, beatMs);
  return () => {
    clearInterval(timer);
    for (const [pending, heal] of healers) {
      clearTimeout(pending);
      heal();
    }
    for (const { proxy } of cluster.nodes) proxy.withdraw();
  };
}

function strikeOne(
  { counts }: ChaosCluster,
  { name, proxy, child }: ChaosNode,
  kind: Disturbance,
  later: (heal: () => void) => void,
  say: (text: string) => void,
  random: () => number,
): void {
  switch (kind) {
    case 'kill':
      if (!child) return;
      counts.kills += 1;
      say(`kill -9 ${name}`);
      child.kill('SIGKILL');
      return;
    case 'pause':
      if (!child) return;
      counts.pauses += 1;
      say(`stop ${name} for a while`);
      child.kill('SIGSTOP');
      later(() => child.kill('SIGCONT'));
      return;
    case 'partition': {
      counts.partitions += 1;
      const which = Math.floor(3 * random());
      say(`hold back what ${['goes to', 'comes from', 'goes to and comes from'][which]} ${name} for a while`);
      if (which === 2) proxy.hold();
      else proxy.hold(which === 0 ? 'down' : 'up');
      later(() => proxy.heal());
      return;
    }
    case 'corrupt': {
      const fault = FAULTS[Math.floor(FAULTS.length * random())];
      const direction = random() < 0.5 ? 'up' : 'down';
      void proxy.damage(fault, direction, { random }).then(() => {
        counts.damaged += 1;
        say(`${fault} a message ${direction === 'up' ? 'from' : 'to'} ${name}`);
      });
      return;
    }
    default:
      kind satisfies never;
  }
}
