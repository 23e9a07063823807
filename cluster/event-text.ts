import type { ClusterEvent, NodeRow } from './events.ts';

/** What happens to nodes, in a sentence for people: on the terminal, and in the records of the run. Pure; undefined where there is nothing to tell. */
export function sentenceOf(event: ClusterEvent): string | undefined {
  switch (event.kind) {
    case 'listening':
      return undefined;
    case 'joined': {
      const { node, anew } = event;
      const again = anew === undefined ? '' : `; its optimizer begins anew (${plural(anew, 'node')} so far)`;
      return `${node.name} joined from ${node.address} with ${plural(node.workers, 'worker')}${again}`;
    }
    case 'left': {
      const { node, lost, reason, leftOut } = event;
      const others =
        leftOut !== undefined
          ? `; its ${plural(leftOut.steps, 'local step')} of this round count for nothing (${plural(leftOut.rounds, 'time')} so far)`
          : lost
            ? '; others compute its shards'
            : '';
      return `${node.name} ${lost ? 'is lost' : 'left'}: ${reason}${others}`;
    }
    case 'forgotten': {
      const whose = event.nodes === 1 ? 'a node' : plural(event.nodes, 'node');
      return `what ${whose} kept from round to round is lost, and begins from nothing (${event.total} so far): ${event.reason}`;
    }
    case 'wire':
      return event.text;
    case 'refused':
      return `refused ${event.name === '' ? event.address : `${event.name} at ${event.address}`}: ${event.reason}`;
    case 'waiting': {
      const { step, nodes, minNodes } = event;
      return `step ${step} waits: ${plural(nodes, 'node')} of at least ${minNodes}`;
    }
    case 'late': {
      const late = event.nodes.map(({ name, phase, ms }) => `${name} (${phase} for ${(ms / 1000).toFixed(1)} s)`);
      return `step ${event.step} takes long; no answer yet from ${late.join(', ')}`;
    }
    case 'divided':
      return `shards since step ${event.step}: ${event.shards.map(({ name, count }) => `${name} ${count}`).join(', ')}`;
    default:
      return event satisfies never;
  }
}

/** The same for programs; undefined where the sentence has it all. Pure. */
export function factsOf(event: ClusterEvent): Readonly<Record<string, unknown>> | undefined {
  switch (event.kind) {
    case 'joined':
      return { node: namesOf(event.node) };
    case 'left':
      return { node: namesOf(event.node), lost: event.lost, reason: event.reason };
    case 'forgotten':
      return { nodes: event.nodes, nodeStatesLost: event.total };
    case 'divided':
      return { shards: event.shards };
    default:
      return undefined;
  }
}

function namesOf({ id, name, address, workers, shardsDone, bytesSent, bytesReceived }: NodeRow) {
  return { id, name, address, workers, shardsDone, bytesSent, bytesReceived };
}

function plural(count: number, word: string): string {
  return `${count.toLocaleString('en-US')} ${word}${count === 1 ? '' : 's'}`;
}
