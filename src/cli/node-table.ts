import type { ClusterEvent, NodePart, NodeRow } from '../../cluster/events.ts';
import type { CoordinatorOptions } from '../../cluster/options.ts';
import type { NodeStatus, PartStep } from '../dashboard/contract.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import { clockOffset } from '../parallel/timeline.ts';
import { formatDuration } from './format.ts';

/** What a coordinator tells, on the page of its run: its nodes as a table, and when each computed. */
export function showNodes(page: Dashboard): Pick<CoordinatorOptions, 'onEvent' | 'onNodes' | 'onPart'> {
  const table = new NodeTable();
  const offset = clockOffset();
  page.setNodes([]); // the coordinator computes no gradients itself
  return {
    onEvent: (event) => table.hear(event) && page.setNodes(table.rows),
    onNodes(nodes) {
      table.update(nodes);
      page.setNodes(table.rows);
    },
    onPart(part) {
      table.measure(part);
      page.addSteps([partStep(part, offset)]);
    },
  };
}

/** Weight of the newest part in the time that a node takes. */
const NEWEST = 0.1;
/** A node is told of when a step waits for it so much longer than for the median. */
const STRAGGLER_SHARE = 0.2;
/** Two missed heartbeats of the default kind. */
const SILENT_MS = 5000;
/** Nodes that are gone and still shown: the last ones. */
const GONE = 16;

/** Who takes part, who has left, and who makes the others wait. Pure. */
export class NodeTable {
  /** In the order in which they came. */
  readonly #nodes = new Map<number, NodeStatus>();
  /** Milliseconds from request to answer, as a moving mean, by name. */
  readonly #ms = new Map<string, number>();
  /** Said of a node that holds a step up, until it answers. */
  readonly #late = new Map<string, string>();

  get rows(): readonly NodeStatus[] {
    return [...this.#nodes.values()];
  }

  /** Gives whether it changes the table. */
  hear(event: ClusterEvent): boolean {
    if (event.kind === 'joined') this.#join(event.node);
    else if (event.kind === 'left') this.#leave(event.node, event.lost);
    else if (event.kind === 'late') this.#hearLate(event.nodes);
    else return false;
    return true;
  }

  /** A node has answered. */
  measure({ name, start, end }: NodePart): void {
    const before = this.#ms.get(name) ?? end - start;
    this.#ms.set(name, before + NEWEST * (end - start - before));
    this.#late.delete(name);
  }

  /** All that take part now. */
  update(nodes: readonly NodeRow[]): void {
    const slow = this.#straggler(nodes.map(({ name }) => name));
    for (const node of nodes) {
      const straggler = this.#late.get(node.name) ?? (slow?.name === node.name ? slow.text : undefined);
      const state = node.quietMs > SILENT_MS ? 'silent' : 'working';
      this.#nodes.set(node.id, { ...rowOf(node, state), ...(straggler !== undefined && { straggler }) });
    }
  }

  /** A node that comes back takes its old row. */
  #join(node: NodeRow): void {
    for (const [id, { name, state }] of this.#nodes) {
      if (name === node.name && (state === 'lost' || state === 'left')) this.#nodes.delete(id);
    }
    this.#nodes.set(node.id, rowOf(node, 'working'));
  }

  #leave(node: NodeRow, lost: boolean): void {
    this.#ms.delete(node.name);
    this.#late.delete(node.name);
    this.#nodes.set(node.id, rowOf(node, lost ? 'lost' : 'left'));
    const gone = [...this.#nodes].filter(([, { state }]) => state === 'lost' || state === 'left');
    for (const [id] of gone.slice(0, -GONE)) this.#nodes.delete(id);
  }

  #hearLate(nodes: Extract<ClusterEvent, { kind: 'late' }>['nodes']): void {
    for (const { name, phase, ms } of nodes) {
      const straggler = `the step waits for it: ${phase} for ${formatDuration(ms / 1000)}`;
      this.#late.set(name, straggler);
      for (const [id, node] of this.#nodes) if (node.name === name) this.#nodes.set(id, { ...node, straggler });
    }
  }

  #straggler(names: readonly string[]): { readonly name: string; readonly text: string } | undefined {
    const times = names.flatMap((name) => {
      const ms = this.#ms.get(name);
      return ms === undefined ? [] : [{ name, ms }];
    });
    if (times.length < 2) return undefined;
    times.sort((a, b) => a.ms - b.ms);
    const { ms: median } = times[(times.length - 1) >> 1];
    const { name, ms } = times[times.length - 1];
    const excess = ms / median - 1;
    if (!(excess > STRAGGLER_SHARE)) return undefined;
    return { name, text: `takes ${Math.round(100 * excess)} % longer for its part of a step than the median` };
  }
}

function rowOf(
  { name, workers, shards, quietMs, bytesSent, bytesReceived }: NodeRow,
  state: NodeStatus['state'],
): NodeStatus {
  // Seen from the node: what the coordinator has received, it has sent.
  const wire = { sentBytes: bytesReceived, receivedBytes: bytesSent };
  const gone = state === 'lost' || state === 'left';
  return { name, state, workers, shards: gone ? 0 : shards, ...(!gone && { heartbeatAgeMs: quietMs }), ...wire };
}

/**
 * When the workers of a node computed in its part of a step, on the machine's clock: parameters take the time before, what was left of the
 * sums the time after. How the network's time is divided is estimated from the bytes either way.
 */
export function partStep(part: NodePart, offset: number): PartStep {
  const { name, step, start, end, computeMs, parameterBytes, sumBytes } = part;
  const network = Math.max(0, end - start - computeMs);
  const down = (network * parameterBytes) / Math.max(1, parameterBytes + sumBytes);
  const computeFrom = Math.min(end, start + down);
  return {
    node: name,
    step,
    start: start + offset,
    computeFrom: computeFrom + offset,
    computeTo: Math.min(end, computeFrom + computeMs) + offset,
    end: end + offset,
  };
}
