/** How long a newcomer waits: from the command to the first step of examples/mnist.ts in metrics.jsonl. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../root.ts';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { PeerError } from './protocol.ts';
import { median } from './statistics.ts';

const RUNS = 5;
const LIMIT_MS = 60_000;
const EXAMPLE = fileURLToPath(new URL('examples/mnist.ts', ROOT));
const SOURCE = fileURLToPath(new URL('src/cli/main.ts', ROOT));
const BUILT = fileURLToPath(new URL('dist/src/cli/main.js', ROOT));

export async function measureFirstStep({ folder }: ExtraContext): Promise<ExtraOutcome> {
  const source = ['--conditions=lockstep-source', '--import', import.meta.resolve('tsx'), SOURCE];
  const ways = [{ name: 'checkout, through tsx', command: process.execPath, args: [...source, 'train', EXAMPLE] }];
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
