import type { Measured, Row } from './contract.ts';
import type { AmdahlFit } from './efficiency.ts';
import type { Explanation, Peaks } from './explain.ts';
import type { JobFacts } from './facts.ts';
import type { MachineBlock } from './machine.ts';
import type { NoiseScale } from './noise-scale.ts';
import type { Series } from './predict.ts';
import type { JobCosts, Link } from './scenario.ts';
import type { WhatIf } from './what-if.ts';

/** What `lockstep scale` found out, as plain data: scaling.json. */
export interface ScalingReport {
  readonly kind: 'scaling';
  readonly lockstep: string;
  readonly machine: MachineBlock;
  readonly jobs: readonly JobScaling[];
  /** It was stopped before everything was measured. */
  readonly stopped?: boolean;
}

export interface JobScaling {
  readonly name: string;
  readonly parameters: number;
  /** Absent where only the other kind of scaling was measured. */
  readonly strongBatch?: number;
  readonly weakBatch?: number;
  /** Of the nodes that are not beside the coordinator, where it was slowed down: what it was to be, and as measured. */
  readonly link?: Link & { readonly name: string };
  readonly facts: JobFacts;
  readonly peaks: Peaks;
  /** That were begun. */
  readonly rounds: number;
  readonly rows: readonly Row[];
  /** One worker with every S that was tried. */
  readonly sweep: readonly { readonly shards: number; readonly samplesPerSec: number }[];
  readonly hashedSteps: number;
  readonly explanations: readonly Explanation[];
  /** Largest share of a step that its worker takes to write its phases down; absent where no phases were looked at. */
  readonly recordingShare?: number;
  readonly amdahl?: AmdahlFit;
  readonly costs?: JobCosts;
  /** Prediction against measurement where both are there. */
  readonly errors: readonly PredictionError[];
  readonly whatIf: WhatIf;
  readonly series: readonly Series[];
  readonly noise?: NoiseReport;
  readonly notes: readonly string[];
}

export interface PredictionError {
  readonly workers: number;
  readonly nodes: number;
  readonly measured: number;
  readonly predicted: number;
  /** Predicted / measured - 1. */
  readonly error: number;
}

export interface NoiseReport extends NoiseScale {
  readonly steps: number;
  readonly every: number;
  /** Share of the time of training that a sample every `everyOf` steps takes. */
  readonly costShare: number;
  readonly everyOf: number;
  readonly rowsPerWorker: number;
  readonly workers: number;
}

/** The row that the headline is made of: strong scaling on the most workers of one process, for node processes share its cores. */
export function headlineOf({ rows }: Pick<JobScaling, 'rows'>): Row | undefined {
  const strong = rows.filter(({ mode, nodes }) => mode === 'strong' && nodes === 1);
  return strong.reduce<Row | undefined>(
    (most, row) => (most === undefined || row.workers > most.workers ? row : most),
    undefined,
  );
}

/** The last line of `--json`. */
export function summaryOf({ jobs, machine, stopped }: ScalingReport): object {
  return {
    ...(stopped && { stopped }),
    rows: jobs.flatMap(({ name, rows }) =>
      rows.map(({ mode, workers, nodes, batch, shards, samplesPerSec, efficiency, parametersSha256 }) => ({
        job: name,
        mode,
        workers,
        nodes,
        batch,
        shards,
        samplesPerSec,
        efficiency,
        parametersSha256,
      })),
    ),
    jobs: jobs.map((job) => {
      const { name, noise, series } = job;
      const head = headlineOf(job);
      return {
        name,
        headline: head && {
          workers: head.workers,
          nodes: head.nodes,
          efficiency: head.efficiency,
          reference: head.reference,
        },
        criticalBatch: noise?.criticalBatch,
        stopAt: series.map(({ topology, format, stopAt }) => ({ topology, format, stopAt })),
      };
    }),
    warnings: machine.warnings,
  };
}

/** Samples a second of the one-worker points, by S. */
export function sweepOf(points: readonly Measured[], perSecond: (m: Measured) => number): JobScaling['sweep'] {
  return points
    .filter(
      ({ point }) => point.workers * point.nodes === 1 && point.roles.some((r) => r === 'sweep' || r === 'strong'),
    )
    .map((m) => ({ shards: m.shards, samplesPerSec: perSecond(m) }))
    .sort((a, b) => a.shards - b.shards);
}
