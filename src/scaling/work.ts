import { assignShards, type ShardRange } from '../membership/assignment.ts';
import type { Member } from '../membership/members.ts';
import type { TreeNode } from '../parallel/gradient-tree.ts';
import type { Cores, Runner } from './cores.ts';
import { type EarlyUploads, untilFinal } from './early-uploads.ts';
import type { EventQueue } from './events.ts';
import { additionsOf, rootsOf } from './protocol.ts';
import type { JobCosts, Scenario, Together } from './scenario.ts';

/** Work of some threads at the same time, and the time until what comes next. */
export interface Stage {
  readonly ms: readonly number[];
  readonly afterMs: number;
  /** The work of each in parts, where others want to know how far they are. */
  readonly parts?: readonly (readonly number[])[] | undefined;
}

/** One after the other; the threads of each at the same time. `onPart` hears when all of them have done so many parts of their work. */
export function runStages(
  queue: EventQueue,
  workers: Workers,
  [stage, ...rest]: readonly Stage[],
  done: () => void,
  onPart?: (part: number) => void,
): void {
  if (stage === undefined) {
    done();
    return;
  }
  const { ms, afterMs, parts = ms.map((each) => [each]) } = stage;
  const left = parts[0].map(() => parts.length);
  const passed = (part: number): void => {
    left[part] -= 1;
    if (left[part] > 0) return;
    if (part < left.length - 1) onPart?.(part);
    else queue.at(queue.now + afterMs, () => runStages(queue, workers, rest, done, onPart));
  };
  parts.forEach((of, i) => {
    const runner: Runner = workers.runners[i] ?? {};
    const run = (part: number): void => {
      const next = (): void => {
        passed(part);
        if (part < of.length - 1) run(part + 1);
      };
      workers.cores.run(of[part], next, runner);
    };
    run(0);
  });
}

/** Of what is known from the beginning: so many times. */
const MEASURED = 1000;

/** The workers of a process. */
export interface Workers {
  readonly cores: Cores;
  readonly runners: readonly Runner[];
}

/** What the workers of a process do in an exchange, and how long it takes them: from the costs that were measured. */
export class Work {
  readonly #costs: JobCosts;
  readonly #scenario: Scenario;
  /** Of the standard normal distribution. */
  readonly #normal: () => number;

  constructor(costs: JobCosts, scenario: Scenario, normal: () => number) {
    this.#costs = costs;
    this.#scenario = scenario;
    this.#normal = normal;
  }

  /** Lossy formats send one sum a node, and local steps leave one change of the parameters, whatever the shards. */
  get oneSum(): boolean {
    return this.#scenario.syncEvery > 1 || this.#scenario.format !== 'fp32';
  }

  /** The sums that a node sends of some shards. */
  sumsOf(range: ShardRange): readonly TreeNode[] {
    return this.oneSum ? [range] : rootsOf(range, this.#costs.shards);
  }

  /** What of a node's sum is sent before its shards are done. */
  earlyOf(range: ShardRange): EarlyUploads | undefined {
    return this.oneSum || this.sumsOf(range).length > 1 ? undefined : this.#costs.early;
  }

  /** What a coordinator has measured of a node before long, where the sums of a step depend on who has which shards. */
  measuredOf(besideCoordinator: boolean): Pick<Member, 'shardMs' | 'sumMs'> {
    if (this.oneSum) return {};
    const { bytes, shardMs, wire } = this.#costs;
    const { link, format } = this.#scenario;
    const onLink = besideCoordinator ? 0 : Math.max(1 / link.bytesPerMs, link.relayMs ?? 0);
    const sumMs = bytes[format] * Math.max(wire.upReceiveMs, onLink);
    return { shardMs: { count: 1, value: shardMs }, sumMs: { count: MEASURED, value: sumMs } };
  }

  slowdown(running: number): number {
    const { slowdown } = this.#costs;
    return slowdown[Math.min(running, slowdown.length) - 1];
  }

  /** What each worker of a node computes of some shards, step by step until the next exchange. `slow`: times as long. */
  shares(range: ShardRange, slow: number): Stage[] {
    const { shardMs, jitter, codec } = this.#costs;
    const { workers, syncEvery, format } = this.#scenario;
    const stages: Stage[] = [];
    const decodeMs = codec[format].decodeMs / workers;
    const { fixedMs } = this.#together(workers);
    const early = this.earlyOf(range);
    for (let i = 0; i < syncEvery; i++) {
      const noise = (jitter === 0 ? 1 : Math.exp(jitter * this.#normal())) * slow;
      const counts = assignShards(range.count, workers).map(({ count }) => count);
      const ms = counts.map((count) => count * shardMs * noise + (i === 0 ? decodeMs : 0));
      stages.push({ ms, afterMs: fixedMs, parts: early && untilFinal(early, ms, counts) });
      if (syncEvery === 1) break;
      // THE STEP of the job on the node's own shards; norms are taken anyway.
      stages.push(this.#parallel({ additions: Math.max(1, this.#endsOf(range) - 1), updates: 1 }));
    }
    return stages;
  }

  /** What is left to a node's workers when all shards are done: adding up as far as that goes, and encoding. */
  sumUp(range: ShardRange): Stage {
    const { codec, shards } = this.#costs;
    // Local steps: the parameters are kept; then their difference, weighted, and back (src/parallel/local-steps.ts). Each is a pass as an addition is.
    if (this.#scenario.syncEvery > 1)
      return this.#parallel({ additions: 4, singleMs: codec[this.#scenario.format].encodeMs });
    const ends = this.#endsOf(range);
    const additions = this.oneSum ? ends - 1 : ends - rootsOf(range, shards).length;
    return this.#parallel({ additions: Math.max(0, additions), singleMs: codec[this.#scenario.format].encodeMs });
  }

  /** Adding up sums of other nodes. */
  addUp(additions: number): Stage {
    return this.#parallel({ additions });
  }

  /** What is left of a step when all sums are there, in a process that is `alone` or on a coordinator. */
  update(range: ShardRange, sums: readonly TreeNode[], alone: boolean): Stage {
    const { shards, codec } = this.#costs;
    const { sharedCores, nodes, workers, format } = this.#scenario;
    const ordered = [...sums].sort((a, b) => a.first - b.first);
    const left = this.oneSum ? ordered.length - 1 : additionsOf(ordered, shards);
    const additions = alone ? this.#endsOf(range) - 1 : left;
    const threads = sharedCores === undefined ? workers : Math.min(sharedCores, nodes * workers);
    const codecMs = alone ? 0 : codec[format].encodeMs + ordered.length * codec[format].decodeMs;
    const work = { additions: Math.max(1, additions), updates: 1, singleMs: codecMs }; // norms are taken anyway
    return this.#parallel(work, threads);
  }

  /** Partial sums in which the workers of a node end. */
  #endsOf(range: ShardRange): number {
    const { shards } = this.#costs;
    const parts = assignShards(range.count, this.#scenario.workers).filter(({ count }) => count > 0);
    return parts.reduce((sum, { first, count }) => sum + rootsOf({ first: range.first + first, count }, shards).length, 0); // biome-ignore format: one line
  }

  /** Work of all workers of a process on their blocks; `singleMs`: what one thread would take for something else that they share. */
  #parallel(
    { additions = 0, updates = 0, singleMs = 0 }: { additions?: number; updates?: number; singleMs?: number },
    workers = this.#scenario.workers,
  ): Stage {
    const { workers: on, additionMs, updateMs } = this.#together(workers);
    const alone = ((additions * additionMs + updates * updateMs) * on) / this.slowdown(on) + singleMs;
    return { ms: Array.from({ length: workers }, () => alone / workers), afterMs: 0 };
  }

  /** As measured on so many workers, or on fewer. */
  #together(workers: number): Together {
    const { together } = this.#costs;
    return together.findLast((t) => t.workers <= workers) ?? together[0];
  }
}
