/** How long a newcomer waits: from the command to the first step of examples/mnist.ts in metrics.jsonl. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { script } from './peers.ts';
import { PeerError } from './protocol.ts';
import { median } from './statistics.ts';

const RUNS = 5;
const LIMIT_MS = 60_000;
const EXAMPLE = fileURLToPath(new URL('../../examples/mnist.ts', import.meta.url));
const BUILT = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export async function measureFirstStep({ folder }: ExtraContext): Promise<ExtraOutcome> {
  const source = script('source', '../../src/cli/main.ts', ['train', EXAMPLE], {});
  const ways = [{ name: 'checkout, through tsx', command: source.command, args: source.args }];
  if (existsSync(BUILT)) {
    ways.push({ name: 'built package', command: process.execPath, args: [BUILT, 'train', EXAMPLE] });
  }
  const figures: { way: string; seconds: number; runs: number[] }[] = [];
  for (const { name, command, args } of ways) {
    const runs: number[] = [];
    for (let i = 0; i < RUNS; i++) {
      runs.push(await firstStep(command, args, join(folder, `first-step-${figures.length}-${i}`)));
    }
    figures.push({ way: name, seconds: median(runs), runs });
  }
  return {
    extras: { firstStepSeconds: Math.min(...figures.map((f) => f.seconds)) },
    figures,
    notes: figures.map(
      ({ way, seconds, runs }) =>
        `from the command to the first step of examples/mnist.ts, ${way}: ${seconds.toFixed(2)} s ` +
        `(${Math.min(...runs).toFixed(2)} - ${Math.max(...runs).toFixed(2)}; the recorder writes every 0.05 s)`,
    ),
  };
}

async function firstStep(command: string, args: readonly string[], runDir: string): Promise<number> {
  const file = join(runDir, 'metrics.jsonl');
  const start = performance.now();
  const child = spawn(command, [...args, '--quiet', '--run-dir', runDir], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  try {
    for (;;) {
      await sleep(2);
      const seconds = (performance.now() - start) / 1000;
      if (existsSync(file) && readFileSync(file, 'utf8').includes('"kind":"step"')) return seconds;
      if (child.exitCode !== null || 1000 * seconds > LIMIT_MS) throw new PeerError(`no first step: ${errors.trim()}`);
    }
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
}
