/**
 * `npm run bench`: Lockstep side by side with other frameworks on this machine, in one run.
 *
 *   npm run bench -- --workloads small,mlp --workers 1,2 --peers torch,tfjs,jax-js --json
 *
 * Every figure comes from interleaved rounds of the public `train()` and of the peers' own best settings, after a check that
 * both sides compute the same losses. The peers are not part of `npm ci`: npm --prefix scripts/bench/peers install
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closest } from '../../src/errors.ts';
import { chooseBackend } from '../../src/kernels/backend.ts';
import { WORKLOADS } from '../../src/scaling/workloads.ts';
import { given } from '../given.ts';
import { ROOT } from '../root.ts';
import { measureAccuracy } from './accuracy.ts';
import { count, positive, UsageError } from './arguments.ts';
import { type GemmName, PEERS, planGroups } from './contestants.ts';
import { describeMachine, warnIfCoresMoved, warnIfLoaded, watchOthers } from './machine.ts';
import { measureMemory } from './memory.ts';
import { measureOptimizers } from './optimizers.ts';
import { PeerError } from './protocol.ts';
import { computeRatios, type Extras } from './ratios.ts';
import { type Report, renderReport } from './report.ts';
import type { LeftOut, Result } from './results.ts';
import { type RoundOptions, runGroup, writeRows } from './rounds.ts';
import { measureFirstStep } from './startup.ts';

const USAGE = `npm run bench -- [options]
  --workloads small,mlp     which (${WORKLOADS.map((w) => w.name).join(', ')}; none: only the measurements below)
  --workers 1,2             numbers of cores
  --peers torch,tfjs,jax-js whom to compare with; none: nobody
  --gemm blas|wasm          only this one of our GEMMs (default: both)
  --batch N                 rows a worker instead of the workload's
  --shards N                Lockstep's S instead of the default
  --cluster                 also a coordinator with a node process for each worker, on this machine: on Linux over a
                            Unix domain socket, beside PyTorch's DDP over TCP's loopback
  --scaling                 only scaling: every workload, strong and weak, local and as --cluster, beside PyTorch
  --no-scaling              without the rows of one batch on 1 and on all workers
  --rounds N                default 6
  --seconds S               measured seconds a contestant and round, default 0.8
  --optimizers              every optimizer with a kernel: ns a parameter; share of the step of Muon and Shampoo (2 min)
  --memory                  heap growth and allocation over 10,000 steps
  --startup                 seconds from the command to the first step of examples/mnist.ts
  --accuracy                seconds to 98 % test accuracy on MNIST
  --json                    one JSON object instead of tables
  --save NAME               also writes the JSON to docs/results/NAME.json`;

const values = given({
  workloads: { type: 'string' },
  workers: { type: 'string', default: '1,2' },
  peers: { type: 'string', default: 'torch' },
  gemm: { type: 'string' },
  batch: { type: 'string' },
  shards: { type: 'string' },
  rounds: { type: 'string', default: '6' },
  seconds: { type: 'string', default: '0.8' },
  scaling: { type: 'boolean', default: false },
  'no-scaling': { type: 'boolean', default: false },
  cluster: { type: 'boolean', default: false },
  optimizers: { type: 'boolean', default: false },
  memory: { type: 'boolean', default: false },
  startup: { type: 'boolean', default: false },
  accuracy: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  save: { type: 'string' },
  help: { type: 'boolean', default: false },
});

async function main(): Promise<void> {
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const groups = planGroups({
    workloads: names(
      values.workloads ?? (values.scaling ? WORKLOADS.map((w) => w.name).join() : 'small,mlp'),
      WORKLOADS.map((w) => w.name),
      '--workloads',
    ).map((name) => WORKLOADS[WORKLOADS.findIndex((w) => w.name === name)]),
    workers: values.workers.split(',').map((n) => count(n, '--workers')),
    peers: names(values.peers, PEERS, '--peers'),
    gemms: gemms(),
    scaling: !values['no-scaling'],
    onlyScaling: values.scaling,
    cluster: values.cluster || values.scaling,
    ...(values.batch === undefined ? {} : { batch: count(values.batch, '--batch') }),
    ...(values.shards === undefined ? {} : { shards: count(values.shards, '--shards') }),
  });
  const stop = new AbortController();
  const options: RoundOptions = {
    rounds: count(values.rounds, '--rounds'),
    seconds: positive(values.seconds, '--seconds'),
    warmup: 0.25,
    progress: (text) => process.stderr.write(`${text}\n`),
    stop: stop.signal,
  };
  const machine = describeMachine();
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-bench-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130);
      options.progress('stopping: what was measured so far follows; once more ends at once');
      stop.abort();
    });
  }

  const results: Result[] = [];
  const leftOut: LeftOut[] = [];
  const rows = new Map<string, string>();
  for (const group of groups) {
    const { name } = group.workload;
    if (!rows.has(name)) rows.set(name, writeRows(group.workload, folder));
    try {
      const outcome = await runGroup(group, rows.get(name) ?? '', machine, options);
      results.push(...outcome.results);
      leftOut.push(...outcome.leftOut);
    } catch (error) {
      if (!stop.signal.aborted) throw error; // else it was still starting
    }
    if (stop.signal.aborted) break;
  }
  const extras: Extras = {};
  const notes: string[] = [];
  const more: Record<string, unknown> = {};
  for (const [wanted, name, measure] of [
    [values.optimizers, 'optimizers', measureOptimizers],
    [values.memory, 'memory', measureMemory],
    [values.startup, 'startup', measureFirstStep],
    [values.accuracy, 'accuracy', measureAccuracy],
  ] as const) {
    if (!wanted || stop.signal.aborted) continue;
    options.progress(name);
    await watchOthers(machine, 150);
    const measured = await measure({ folder, machine });
    Object.assign(extras, measured.extras);
    notes.push(...measured.notes);
    more[name] = measured.figures;
  }
  warnIfLoaded(machine);
  warnIfCoresMoved(machine);

  const report: Report = { machine, results, ratios: computeRatios(results, extras), leftOut, notes };
  const stopped = stop.signal.aborted;
  if (stopped) machine.warnings.push('stopped before everything was measured');
  const command = process.argv.slice(2).join(' ');
  const json = `${JSON.stringify({ command, ...(stopped && { stopped }), ...report, ...more }, rounded, 1)}\n`;
  if (values.save !== undefined) {
    const target = new URL(`docs/results/${values.save}.json`, ROOT);
    mkdirSync(new URL('.', target), { recursive: true });
    writeFileSync(target, json);
    options.progress(`wrote ${fileURLToPath(target)}`);
  }
  process.stdout.write(values.json ? json : renderReport(report));
  if (stopped) process.exitCode = 130;
}

function gemms(): GemmName[] {
  const [chosen] = values.gemm === undefined ? [] : names(values.gemm, ['blas', 'wasm'] as const, '--gemm');
  if (chosen !== undefined) process.env.LOCKSTEP_GEMM = chosen;
  const { gemm } = chooseBackend(); // also settles OPENBLAS_CORETYPE, which all contestants inherit
  return chosen !== undefined || gemm === 'wasm' ? [gemm] : ['blas', 'wasm'];
}

function names<T extends string>(list: string, known: readonly T[], option: string): T[] {
  if (list === 'none') return [];
  return list.split(',').map((name) => {
    const found = known.find((k) => k === name);
    if (found !== undefined) return found;
    const near = closest(name, known);
    throw new UsageError(
      `${option}: expected some of ${known.join(', ')}, got ${name}${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  });
}

/** Five significant digits are more than any of these figures has. */
function rounded(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(5)) : value;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError || error instanceof PeerError)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
