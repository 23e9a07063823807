import { expect, test } from 'vitest';
import type { NodePart, NodeRow } from '../../cluster/index.ts';
import { NodeTable, partStep } from '../../src/cli/node-table.ts';

const row = (id: number, name: string, changes: Partial<NodeRow> = {}): NodeRow => ({
  ...{ id, name, address: '', workers: 2, shards: 0, shardsDone: 0, computeMs: 0, roundMs: 0 },
  ...{ bytesSent: 0, bytesReceived: 0, roundTripMs: undefined, quietMs: 0, ...changes },
});
const part = (name: string, ms: number, step = 1): NodePart => ({
  ...{ name, step, start: 100, end: 100 + ms, computeMs: ms / 2, parameterBytes: 3000, sumBytes: 1000 },
});
const left = { kind: 'left', reason: 'gone', unsaid: false } as const;

test('nodes have their shards, bytes as seen from them, and the age of their last sign of life', () => {
  const table = new NodeTable();
  table.hear({ kind: 'joined', node: row(1, 'a') });
  table.hear({ kind: 'joined', node: row(2, 'b') });
  table.update([row(1, 'a', { shards: 3, bytesSent: 700, bytesReceived: 50, quietMs: 40 }), row(2, 'b', { quietMs: 9000 })]); // biome-ignore format: one line
  expect(table.rows).toEqual([
    { name: 'a', state: 'working', workers: 2, shards: 3, heartbeatAgeMs: 40, sentBytes: 50, receivedBytes: 700 },
    { name: 'b', state: 'silent', workers: 2, shards: 0, heartbeatAgeMs: 9000, sentBytes: 0, receivedBytes: 0 },
  ]);
});

test('one that is lost stays in sight until it comes back; of many, the last', () => {
  const table = new NodeTable();
  table.hear({ kind: 'joined', node: row(1, 'a') });
  table.hear({ ...left, node: row(1, 'a', { bytesReceived: 9 }), lost: true });
  table.update([]);
  expect(table.rows).toMatchObject([{ name: 'a', state: 'lost', sentBytes: 9, shards: 0 }]);
  table.hear({ kind: 'joined', node: row(2, 'a') });
  expect(table.rows).toMatchObject([{ name: 'a', state: 'working' }]);
  for (let id = 3; id < 100; id++) {
    table.hear({ kind: 'joined', node: row(id, `n${id}`) });
    table.hear({ ...left, node: row(id, `n${id}`), lost: false });
  }
  expect(table.rows.length).toBeLessThan(20);
  expect(table.rows[0]).toMatchObject({ name: 'a', state: 'working' });
  expect(table.rows.at(-1)).toMatchObject({ name: 'n99', state: 'left' });
});

test('who makes the others wait is told of as long as it does', () => {
  const table = new NodeTable();
  const nodes = [row(1, 'a'), row(2, 'b')];
  const stragglers = () => {
    table.update(nodes);
    return table.rows.map(({ straggler }) => straggler);
  };
  table.measure(part('a', 100));
  table.measure(part('b', 150));
  expect(stragglers()).toEqual([undefined, 'takes 50 % longer for its part of a step than the median']);
  for (let i = 0; i < 100; i++) table.measure(part('b', 100));
  expect(stragglers()).toEqual([undefined, undefined]);
  table.hear({ kind: 'late', step: 2, nodes: [{ name: 'a', phase: 'computing', ms: 2500 }] });
  expect(stragglers()).toEqual(['the step waits for it: computing for 2.50 s', undefined]);
  table.measure(part('a', 100));
  expect(stragglers()).toEqual([undefined, undefined]);
});

test('computing lies within the part, and the network has the rest by the bytes either way', () => {
  expect(partStep(part('a', 80, 7), 1000)).toEqual({
    ...{ node: 'a', step: 7, start: 1100, computeFrom: 1130, computeTo: 1170, end: 1180 },
  });
  const absurd = partStep({ ...part('a', 80), computeMs: 1e12 }, 0); // what a node says may be anything
  expect(absurd).toMatchObject({ start: 100, computeFrom: 100, computeTo: 180, end: 180 });
});
