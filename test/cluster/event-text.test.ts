import { expect, test } from 'vitest';
import { factsOf, sentenceOf } from '../../cluster/event-text.ts';
import type { NodeRow } from '../../cluster/index.ts';

const node: NodeRow = {
  ...{ id: 1, name: 'host1', address: '127.0.0.1', workers: 2, shards: 4, shardsDone: 9, computeMs: 1, roundMs: 2 },
  ...{ bytesSent: 0, bytesReceived: 0, roundTripMs: undefined, quietMs: 0 },
};

test('what happens to nodes is said in a line', () => {
  expect(sentenceOf({ kind: 'joined', node })).toBe('host1 joined from 127.0.0.1 with 2 workers');
  const left = { kind: 'left', node } as const;
  expect(sentenceOf({ ...left, lost: true, reason: 'silent for 10 s' })).toBe(
    'host1 is lost: silent for 10 s; others compute its shards',
  );
  expect(sentenceOf({ ...left, lost: false, reason: 'it was to leave' })).toBe('host1 left: it was to leave');
  expect(sentenceOf({ kind: 'joined', node, anew: 2 })).toBe(
    'host1 joined from 127.0.0.1 with 2 workers; its optimizer begins anew (2 nodes so far)',
  );
  expect(sentenceOf({ ...left, lost: true, reason: 'closed', leftOut: { steps: 20, rounds: 1 } })).toBe(
    'host1 is lost: closed; its 20 local steps of this round count for nothing (1 time so far)',
  );
  expect(sentenceOf({ kind: 'forgotten', nodes: 2, total: 3, reason: 'so' })).toBe(
    'what 2 nodes kept from round to round is lost, and begins from nothing (3 so far): so',
  );
  expect(sentenceOf({ kind: 'waiting', step: 7, nodes: 1, minNodes: 2 })).toBe('step 7 waits: 1 node of at least 2');
  expect(sentenceOf({ kind: 'late', step: 7, nodes: [{ name: 'host1', phase: 'computing', ms: 2500 }] })).toBe(
    'step 7 takes long; no answer yet from host1 (computing for 2.5 s)',
  );
  const shards = [
    { name: 'a', count: 3 },
    { name: 'b', count: 1 },
  ];
  expect(sentenceOf({ kind: 'divided', step: 7, shards })).toBe('shards since step 7: a 3, b 1');
  expect(sentenceOf({ kind: 'refused', name: '', address: '10.0.0.1', reason: 'no' })).toBe('refused 10.0.0.1: no');
});

test('programs learn which node it was', () => {
  expect(factsOf({ kind: 'left', node, lost: true, reason: 'closed' })).toMatchObject({
    node: { id: 1, name: 'host1', shardsDone: 9 },
    lost: true,
  });
});
