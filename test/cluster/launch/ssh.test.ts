import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliResult, runCli, SMALL_JOB } from '../../cli/run-cli.ts';
import { hasSshd, Sshd } from '../../support/sshd.ts';

/** A name that no process of another test has. */
const JOB = `ssh-${process.pid}.js`;

/** Processes whose command line holds all of these words, but for tests themselves. */
function processes(...words: string[]): string[][] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.every((word) => args.some((arg) => arg.includes(word))) ? [args] : [];
    } catch {
      return []; // it has ended
    }
  });
}

/** Each starts some processes one after the other. */
describe.runIf(hasSshd)('lockstep launch by ssh', { timeout: 240_000 }, () => {
  let sshd: Sshd;
  let project: string;
  const remote = (name: string) => join(sshd.folder, name);
  const launch = (args: readonly string[], options: Parameters<typeof runCli>[1] = {}): Promise<CliResult> =>
    runCli(['launch', JOB, '--ssh-config', sshd.config, '--remote-node', process.execPath, ...args], {
      cwd: project,
      ...options,
    });

  beforeAll(async () => {
    sshd = await Sshd.start();
    project = mkdtempSync(join(tmpdir(), 'lockstep-launch-'));
    copyFileSync(SMALL_JOB, join(project, JOB));
    writeFileSync(join(project, 'package.json'), '{"type":"module"}');
    mkdirSync(join(project, 'runs'));
    writeFileSync(join(project, 'runs', 'old'), '');
  });
  afterAll(async () => {
    await sshd.close();
    rmSync(project, { recursive: true });
  });

  it('trains on hosts in the same bytes, names what each prints, shows the token to nobody and leaves nothing', async () => {
    const folder = remote("it's $(touch here) the project");
    const seen: string[][] = [];
    const { code, stdout, stderr } = await launch(
      ['-H', 'alpha:1,beta:2,localhost:1', '--sync', '--remote-dir', folder, '--min-nodes', '3', '--json'],
      {
        onStderr(text) {
          if (seen.length === 0 && text.includes('\nepoch 1/')) seen.push(...processes(JOB));
        },
      },
    );
    expect(stderr).toContain('note: alpha: copied the project to');
    expect(code).toBe(0);
    for (const name of ['alpha', 'beta', 'localhost']) expect(stderr).toContain(`\n[${name}] `);
    expect(readdirSync(folder).sort()).toEqual(['package.json', JOB]); // nothing expanded, and no runs
    const local = await runCli(['train', JOB, '-w', '1', '--json', '-q'], { cwd: project });
    expect(JSON.parse(stdout).parametersSha256).toBe(JSON.parse(local.stdout).parametersSha256);
    expect(seen.length).toBeGreaterThanOrEqual(6); // the launcher, two of ssh, three nodes
    const secret = /(?<![\w-])[\w-]{43}(?![\w-])/; // 256 bits as base64url
    expect(seen.flat().filter((word) => secret.test(word))).toEqual([]);
    expect(processes(JOB)).toEqual([]);
    expect(existsSync('here')).toBe(false);
  });

  it('starts a node again whose connection has ended', async () => {
    const folder = remote('again');
    let cut = false;
    const { code, stdout, stderr } = await launch(
      [
        '-H',
        'alpha:1,localhost:1',
        '--sync',
        '--remote-dir',
        folder,
        '--no-preflight',
        '--min-nodes',
        '2',
        '--epochs',
        '40',
        '--json',
      ],
      {
        onStderr(text) {
          if (cut || !text.includes('\nepoch 1/')) return;
          cut = true;
          sshd.cut();
        },
      },
    );
    expect(stderr).toMatch(/note: alpha is lost \(.*\); its shards go to the others, and it is started again in 1 s/);
    expect(stderr.match(/note: alpha joined from/g)).toHaveLength(2);
    expect(code).toBe(0);
    const local = await runCli(['train', JOB, '-w', '1', '--epochs', '40', '--json', '-q'], { cwd: project });
    expect(JSON.parse(stdout).parametersSha256).toBe(JSON.parse(local.stdout).parametersSha256);
    await expect.poll(() => processes(JOB)).toEqual([]);
  });

  it('names every host that cannot take part, and starts none', async () => {
    const elsewhere = await launch(['-H', 'gamma:1,alpha:1', '--remote-dir', remote('nowhere')]);
    expect(elsewhere.code).toBe(75);
    expect(elsewhere.stderr).toContain(`note: alpha: expected the project in ${remote('nowhere')}, got no such folder`);
    expect(elsewhere.stderr).toMatch(/error E_UNREACHABLE: gamma: expected a host that ssh reaches, got .*refused/);
    expect(processes(JOB)).toEqual([]);
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('stops its nodes after %s; copies by tar without rsync', async (signal) => {
    const bin = remote(`bin-${signal}`);
    mkdirSync(bin);
    for (const name of ['ssh', 'tar', 'gzip', 'sh']) {
      symlinkSync(execFileSync('which', [name], { encoding: 'utf8' }).trim(), join(bin, name));
    }
    let sent = false;
    const folder = remote(`tar-${signal}`);
    const { code, stderr } = await launch(
      ['-H', 'alpha:1,localhost:1', '--sync', '--remote-dir', folder, '--no-preflight', '--epochs', '1000000'],
      {
        env: { PATH: bin },
        onStderr(text, child) {
          if (sent || !text.includes('\nepoch 1/')) return;
          sent = true;
          child.kill(signal);
        },
      },
    );
    expect(stderr).toContain('by tar');
    expect(code).toBe(signal === 'SIGINT' ? 130 : null);
    await expect.poll(() => processes(JOB)).toEqual([]);
  });

  it('has left no connection open', async () => {
    await expect.poll(() => sshd.connections).toBe(0); // an sshd ends a moment after its client
  });
});
