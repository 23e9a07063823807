import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { LockstepError } from '../errors.ts';
import { PHASES, phasesOf, type RoundTimes, type WorkerStep } from '../parallel/timeline.ts';
import type { RunHeader, Sink, SinkRecord } from './contract.ts';

/** Steps that a trace keeps: the last ones. A viewer takes some hundred thousand events. */
const KEPT_STEPS = 2000;

/**
 * Writes what each worker did in the last steps of a run as a trace for Perfetto (ui.perfetto.dev) and Chrome (chrome://tracing): a
 * track for each worker, a slice for each phase. Format: "Trace Event Format", complete events ('X') with time stamps in microseconds.
 */
export class TraceSink implements Sink {
  readonly name = 'trace';
  readonly #path: string;
  #file: FileHandle | undefined;
  #header: RunHeader | undefined;
  #steps: WorkerStep[] = [];

  constructor(path: string) {
    this.#path = resolve(path);
  }

  /** Throws E_RUN_DIR where the file cannot be written; it is written when the run is over. */
  async open(header: RunHeader): Promise<void> {
    this.#header = header;
    try {
      this.#file = await open(this.#path, 'w');
    } catch (cause) {
      throw this.#refused(cause);
    }
  }

  write(_: readonly SinkRecord[]): void {}

  timeline(steps: readonly WorkerStep[]): void {
    const kept = KEPT_STEPS * (this.#header?.workers ?? 1);
    for (const step of steps) this.#steps.push(step);
    if (this.#steps.length > 2 * kept) this.#steps = this.#steps.slice(-kept);
  }

  async close(): Promise<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    const kept = KEPT_STEPS * (this.#header?.workers ?? 1);
    try {
      await file.writeFile(traceOf(this.#steps.slice(-kept)));
    } catch (cause) {
      throw this.#refused(cause);
    } finally {
      await file.close();
    }
  }

  #refused(cause: unknown): LockstepError {
    return new LockstepError('E_RUN_DIR', {
      where: `trace ${this.#path}`,
      expected: 'a file that can be written',
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'name another file (--trace), or make room and grant the right to write',
      cause,
    });
  }
}

interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  readonly pid: number;
  readonly tid: number;
  /** Microseconds. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The track of a process's main thread, which sends and receives. */
const MAIN_TRACK = 1_000_000;

/**
 * The text of a trace. `node` numbers the process that a worker belongs to: 0 is the one that is alone, or the coordinator. Gather and forward of
 * several shards are drawn as one slice each: the timeline knows how long they took, not where one shard ends. A `round` is what the main
 * thread of the process did for the step; it has a track of its own.
 */
export function traceOf(
  steps: readonly (WorkerStep & { readonly node?: number; readonly round?: RoundTimes })[],
): string {
  const events: TraceEvent[] = [];
  const begin = ({ start, round }: (typeof steps)[number]) => Math.min(start, ...(round?.spans ?? []).map((s) => s.start)); // biome-ignore format: one line
  const origin = steps.reduce((least, step) => Math.min(least, begin(step)), Number.POSITIVE_INFINITY);
  const several = steps.some(({ round }) => round !== undefined);
  const named = new Set<string>();
  const name = (pid: number, tid: number, thread: string) => {
    if (!named.has(`${pid}`)) {
      named.add(`${pid}`);
      const process = several && pid === 0 ? 'coordinator' : `node ${pid}`;
      events.push({ name: 'process_name', ph: 'M', pid, tid, args: { name: process } });
    }
    if (named.has(`${pid}/${tid}`)) return;
    named.add(`${pid}/${tid}`);
    events.push({ name: 'thread_name', ph: 'M', pid, tid, args: { name: thread } });
  };
  for (const step of steps) {
    const { node: pid = 0, rank: tid, round } = step;
    name(pid, tid, `worker ${tid}`);
    const args = { step: step.step };
    events.push({ name: `step ${step.step}`, ph: 'X', pid, tid, ...span(step.start - origin, step.done - step.start) });
    const phases = phasesOf(step);
    let at = step.start - origin;
    for (const phase of PHASES) {
      events.push({ name: phase, ph: 'X', pid, tid, ...span(at, phases[phase]), args });
      at += phases[phase];
    }
    if (round === undefined || tid !== 0) continue;
    name(pid, MAIN_TRACK, 'main thread');
    for (const { name: what, start, end } of round.spans) {
      events.push({ name: what, ph: 'X', pid, tid: MAIN_TRACK, ...span(start - origin, end - start), args });
    }
  }
  return `{"displayTimeUnit":"ms","traceEvents":[\n${events.map((event) => JSON.stringify(event)).join(',\n')}\n]}\n`;
}

function span(startMs: number, ms: number): { ts: number; dur: number } {
  return { ts: nanoseconds(1000 * startMs), dur: nanoseconds(1000 * Math.max(0, ms)) };
}

function nanoseconds(microseconds: number): number {
  return Math.round(1000 * microseconds) / 1000;
}
