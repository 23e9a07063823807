import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { coordinatorOptions, renderNodeEvent, tokenOf } from '../../src/cli/cluster-options.ts';
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

it('what happens to a node is said in a line', () => {
  expect(renderNodeEvent({ kind: 'disconnected', reason: 'refused', retryMs: 250, leftMs: 600_000 })).toBe(
    'not connected: refused; again in 0.25 s; gives up in 10:00 (--reconnect-ms), Ctrl-C ends it',
  );
});
