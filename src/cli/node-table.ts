import type { ClusterEvent, NodeRow } from '../../cluster/events.ts';
import type { NodeStatus } from '../dashboard/contract.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';

/** The nodes of a run on several machines, in the table of its page: who has joined, who has left, who is late. */
export class NodeTable {
  readonly #page: Dashboard;
  readonly #nodes = new Map<string, NodeStatus>();

  constructor(page: Dashboard) {
    this.#page = page;
    page.setNodes([]); // the coordinator computes nothing itself
  }

  add(event: ClusterEvent): void {
    if (event.kind === 'joined') this.#put(event.node, 'working');
    else if (event.kind === 'left') this.#put(event.node, event.lost ? 'lost' : 'left');
    else if (event.kind === 'late') for (const { name, ms } of event.nodes) this.#late(name, ms);
    else return;
    this.#page.setNodes([...this.#nodes.values()]);
  }

  #put({ name, workers, shards, bytesSent, bytesReceived }: NodeRow, state: NodeStatus['state']): void {
    const wire = bytesSent + bytesReceived > 0 ? { sentBytes: bytesSent, receivedBytes: bytesReceived } : {};
    this.#nodes.set(name, { name, state, workers, shards, ...wire });
  }

  #late(name: string, ms: number): void {
    const node = this.#nodes.get(name);
    if (node) this.#nodes.set(name, { ...node, straggler: `${name}: a step waited ${Math.round(ms)} ms for it` });
  }
}
