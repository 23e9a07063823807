import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NodeRow } from '../../cluster/index.ts';
import { coordinatorOptions, renderClusterEvent, renderNodeEvent, tokenOf } from '../../src/cli/cluster-options.ts';
import { resumeAsGiven } from '../../src/cli/train.ts';

const [ENVIRONMENT, FILE] = ['0123456789-of-the-environment-abcdef', '0123456789-of-the-file-abcdefghijkl'];

describe('the token', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-token-'));
    process.env.LOCKSTEP_TOKEN = ENVIRONMENT;
  });
  afterEach(() => {
    delete process.env.LOCKSTEP_TOKEN;
    rmSync(folder, { recursive: true });
  });

  it('comes of the environment, which no child then inherits', () => {
    expect(tokenOf({})).toBe(ENVIRONMENT);
    expect(process.env.LOCKSTEP_TOKEN).toBeUndefined();
  });

  it('comes of a file before that', () => {
    writeFileSync(join(folder, 'token'), `${FILE}\n`);
    expect(tokenOf({ tokenFile: join(folder, 'token') })).toBe(FILE);
    expect(() => tokenOf({ tokenFile: join(folder, 'none') })).toThrow(
      'option --token-file: expected a file that holds the token',
    );
  });
});

describe('options of a coordinator', () => {
  it('that were not given are left to the cluster', () => {
    expect(coordinatorOptions({})).toEqual({ deadlines: {} });
    expect(coordinatorOptions({ port: 0, stepMs: 0, mixed: true })).toEqual({
      port: 0,
      mixed: true,
      deadlines: { stepMs: 0 },
    });
  });

  it('name certificate and key together', () => {
    expect(() => coordinatorOptions({ tlsCert: 'c' })).toThrow(
      'option --tls-cert: expected --tls-key beside it, got none',
    );
    expect(() => coordinatorOptions({ tlsKey: 'k' })).toThrow(
      'option --tls-key: expected --tls-cert beside it, got none',
    );
  });
});

it('a run goes on by the command line that began it, but for where it began', () => {
  const args = [
    'launch',
    '-H',
    'a:1,b:2',
    'x y.ts',
    '--run-dir',
    'old',
    '--warm-start=w',
    '--resume',
    'r',
    '--set',
    'a=1',
  ];
  expect(resumeAsGiven(args, 'new')).toBe("lockstep launch -H a:1,b:2 'x y.ts' --set a=1 --run-dir new --resume auto");
});

describe('what happens to nodes', () => {
  const node: NodeRow = {
    ...{ id: 1, name: 'host1', address: '127.0.0.1', workers: 2, shards: 4, shardsDone: 9, computeMs: 1, roundMs: 2 },
    ...{ bytesSent: 0, bytesReceived: 0, roundTripMs: undefined },
  };

  it('is said in a line', () => {
    expect(renderClusterEvent({ kind: 'joined', node })).toBe('host1 joined from 127.0.0.1 with 2 workers');
    expect(renderClusterEvent({ kind: 'left', node, lost: true, reason: 'silent for 10 s', unsaid: false })).toBe(
      'host1 is lost: silent for 10 s; others compute its shards',
    );
    expect(renderClusterEvent({ kind: 'left', node, lost: false, reason: 'it was to leave', unsaid: false })).toBe(
      'host1 left: it was to leave',
    );
    expect(renderClusterEvent({ kind: 'joined', node, anew: 2 })).toBe(
      'host1 joined from 127.0.0.1 with 2 workers; its optimizer begins anew (2 nodes so far)',
    );
    const leftOut = { steps: 20, rounds: 1 };
    expect(renderClusterEvent({ kind: 'left', node, lost: true, reason: 'closed', unsaid: false, leftOut })).toBe(
      'host1 is lost: closed; its 20 local steps of this round count for nothing (1 time so far)',
    );
    expect(renderClusterEvent({ kind: 'waiting', step: 7, nodes: 1, minNodes: 2 })).toBe(
      'step 7 waits: 1 node of at least 2',
    );
    expect(
      renderClusterEvent({ kind: 'late', step: 7, nodes: [{ name: 'host1', phase: 'computing', ms: 2500 }] }),
    ).toBe('step 7 takes long; no answer yet from host1 (computing for 2.50 s)');
    expect(
      renderClusterEvent({
        kind: 'divided',
        step: 7,
        shards: [
          { name: 'a', count: 3 },
          { name: 'b', count: 1 },
        ],
      }),
    ).toBe('shards since step 7: a 3, b 1');
    expect(renderClusterEvent({ kind: 'refused', name: '', address: '10.0.0.1', reason: 'no' })).toBe(
      'refused 10.0.0.1: no',
    );
    expect(renderNodeEvent({ kind: 'disconnected', reason: 'refused', retryMs: 250 })).toBe(
      'not connected: refused; again in 0.25 s',
    );
  });
});
