import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { runCli } from '../cli/run-cli.ts';

/** Not in every run of the tests: what it does, the tests beside it do one by one. */
const soak = process.env.LOCKSTEP_SOAK_ROUNDS !== undefined;

test.skipIf(!soak)(
  'lockstep chaos kills, stops, cuts off and damages, and finds the same bytes',
  async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith('lockstep-chaos-'));
    const before = folders();
    const args = ['chaos', 'test/fixtures/cluster-job.ts', '--nodes', '2', '--kill-every', '4s', '--minutes', '0.15'];
    const all = ['--pause', '--partition', '--corrupt', '--steps', '100000', '--json'];
    const { code, stdout, stderr } = await runCli([...args, ...all]);
    expect(stderr).toMatch(/kill -9 node-/);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ sameBytes: true, lost: 0, doubled: 0, different: 0 });
    expect(report.steps).toBeGreaterThan(0);
    expect(report.kills).toBeGreaterThan(0);
    expect(report.goodput).toBeGreaterThan(0);
    expect(folders()).toEqual(before);
  },
  180_000,
);
