import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limitRun } from '../../cluster/fence-log.ts';
import { LockstepError } from '../errors.ts';
import type { Job } from '../train/job.ts';
import type { ProgressEvent, TrainOptions, TrainResult } from '../train/options.ts';
import { ChaosCluster } from './chaos-cluster.ts';
import { type Disturbances, disturb } from './chaos-disturb.ts';
import { type ChaosReport, chaosReport, renderChaos } from './chaos-report.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';

export interface ChaosCommandOptions extends JobOptions, Disturbances {
  readonly nodes: number;
  /** Threads of each node. */
  readonly workers?: number | 'auto';
  /** At most, of the undisturbed run. */
  readonly minutes: number;
  readonly json?: boolean;
}

/** Short ones: a dead node is noticed at once, a silent one soon. */
const DEADLINES = { heartbeatMs: 500, silenceMs: 3000, stepMs: 30_000 };

/**
 * `lockstep chaos <job>`: trains the job twice with node processes on this machine, undisturbed and while nodes are killed and the
 * network between is broken, and compares: the result must be the same bytes, and every step there once.
 */
export async function chaosCommand(path: string, options: ChaosCommandOptions, io: Io): Promise<void> {
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const say = (text: string) => void io.progress.write(`${text}\n`);
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-chaos-'));
  const cluster = new ChaosCluster(path, options, say);
  try {
    say(`undisturbed: ${options.nodes} nodes, at most ${options.minutes} min`);
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    const limited = { ...common(join(folder, 'undisturbed')), signal: AbortSignal.any([io.stop, over.signal]) };
    const undisturbed = await run(cluster, job, limited, () => {
      timer = setTimeout(() => over.abort(), options.minutes * 60_000);
    });
    clearTimeout(timer);
    io.stop.throwIfAborted();
    say(`disturbed: to the same step, ${undisturbed.result.step}`);
    const runDir = join(folder, 'disturbed');
    limitRun(runDir, undisturbed.result.step);
    let stopDisturbing = () => {};
    const disturbed = await run(cluster, job, { ...common(runDir), signal: io.stop }, () => {
      stopDisturbing = disturb(cluster, options, say);
    }).finally(() => stopDisturbing());
    io.stop.throwIfAborted();
    const report = chaosReport(undisturbed, disturbed, cluster.counts);
    if (options.json) io.out(JSON.stringify(report));
    else for (const line of renderChaos(report)) io.out(line);
    if (!report.sameBytes || report.lost + report.doubled + report.different > 0) throw broken(report);
  } finally {
    await cluster.close();
    rmSync(folder, { recursive: true, force: true });
  }

  function common(runDir: string): TrainOptions {
    return { workers: 1, module: loaded.module, runDir };
  }
}

export interface Outcome {
  readonly result: TrainResult;
  /** Steps as they were told, also those that were told again. */
  readonly told: readonly (readonly [step: number, loss: number])[];
  /** From the first step to the last. */
  readonly seconds: number;
}

/** One run from listening to the result; `onFirstStep` when the cluster is under way. */
async function run(cluster: ChaosCluster, job: Job, options: TrainOptions, onFirstStep: () => void): Promise<Outcome> {
  const { runCoordinator } = await import('../../cluster/index.ts');
  const told: [number, number][] = [];
  let began = 0;
  let ended = 0;
  const onProgress = (event: ProgressEvent) => {
    if (event.kind !== 'steps') return;
    if (told.length === 0) {
      began = performance.now();
      onFirstStep();
    }
    ended = performance.now();
    for (const { step, loss } of event.records) told.push([step, loss]);
  };
  const result = await runCoordinator(job, {
    ...options,
    port: 0,
    token: cluster.token,
    deadlines: DEADLINES,
    onProgress,
    onListening: ({ port }) => cluster.lead(port),
    onEvent: (event) => cluster.note(event),
  });
  return { result, told, seconds: (ended - began) / 1000 };
}

function broken({ sameBytes, lost, doubled, different }: ChaosReport): LockstepError {
  return new LockstepError('E_CHECK', {
    where: 'lockstep chaos',
    expected: 'the bytes and steps of the undisturbed run',
    got: `${sameBytes ? 'the same' : 'other'} bytes, ${lost} steps lost, ${doubled} doubled, ${different} with another loss`,
    fix: 'this is a defect of Lockstep: please report it with the job',
  });
}
