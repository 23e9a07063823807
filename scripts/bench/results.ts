import { z } from 'zod';
import type { Contestant, Group } from './contestants.ts';
import { gemmFlop } from './flop.ts';
import { type Slice, summarize, type Timing } from './statistics.ts';

/** One line of `results`. */
export interface Result extends Timing {
  readonly peer: Contestant['peer'];
  readonly way: string;
  readonly workload: string;
  readonly workers: number;
  /** Lockstep's S as it was; null for peers. */
  readonly shards: number | null;
  /** Whether S is the job's default. */
  readonly defaultShards: boolean;
  readonly batch: number;
  readonly gemm: string | null;
  /** Rows of the global batch / median step. */
  readonly samplesPerSec: number;
  /** GEMM work of the step / its time / what as many cores multiply in this run; null for peers. */
  readonly gemmEfficiency: number | null;
  /** GFLOP/s of one thread that this efficiency is measured against, from the same rounds. */
  readonly gemmGflops: number | null;
  /** Largest relative difference of the first losses from Lockstep's; null for Lockstep itself. */
  readonly parity: number | null;
  /** Lockstep: share of the last round's training time that lies in no step (start and end of epochs, warm-up included). */
  readonly shareOutsideSteps?: number;
  /** Lockstep: medians of the phases on rank 0, ms. */
  readonly phases?: Readonly<Record<string, number>>;
  readonly wire?: z.output<typeof Wire>;
  /** Several workers: nanoseconds between two cores (src/scaling/core-distance.ts) before each round; null where they did not run at once. */
  readonly coreDistancesNs?: readonly (number | null)[];
}

/** What sockets cost a step of a cluster, medians or means over the last slice. */
export const Wire = z.object({
  /** Of the main threads of both ends, which do nothing else. */
  cpuNsPerParameterAndNode: z.number(),
  parameters: z.number(),
  /** Down and up, all overhead included. */
  bytesPerParameterAndNode: z.number(),
});

/** A contestant that gave no figures, and why. */
export interface LeftOut {
  readonly peer: string;
  readonly way: string;
  readonly workload: string;
  readonly reason: string;
}

/** What a contestant brought home. */
export interface Measured {
  readonly contestant: Contestant;
  readonly slices: readonly Slice[];
  readonly shards: number | null;
  readonly gemm: string | null;
  readonly parity: number | null;
  readonly shareOutsideSteps?: number;
  readonly phases?: Readonly<Record<string, number>>;
  readonly wire?: z.output<typeof Wire> | undefined;
  readonly coreDistancesNs?: readonly (number | null)[];
}

/** @param gflops GFLOP/s of one thread by GEMM. */
export function toResult(group: Group, measured: Measured, gflops: Readonly<Record<string, number>>): Result {
  const { contestant, slices, shards, gemm, parity, shareOutsideSteps, phases, wire, coreDistancesNs = [] } = measured;
  const timing = summarize(slices);
  const { peer, way, workers, batch } = contestant;
  const rate = gemm === null ? undefined : gflops[gemm];
  const flopPerMs = gemmFlop(group.workload, batch) / workers / timing.stepMs;
  return {
    peer,
    way,
    workload: group.workload.name,
    workers,
    shards,
    defaultShards: contestant.peer === 'lockstep' && contestant.shards === undefined && contestant.nodes === undefined,
    batch,
    gemm,
    samplesPerSec: (1000 * batch) / timing.stepMs,
    gemmEfficiency: rate === undefined ? null : flopPerMs / 1e6 / rate,
    gemmGflops: rate ?? null,
    parity,
    ...timing,
    ...(shareOutsideSteps === undefined ? {} : { shareOutsideSteps }),
    ...(phases === undefined ? {} : { phases }),
    ...(wire === undefined ? {} : { wire }),
    ...(coreDistancesNs.length === 0 ? {} : { coreDistancesNs }),
  };
}
