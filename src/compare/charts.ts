import * as Plot from '@observablehq/plot';
import { type Chart, draw } from './draw.ts';
import { TAU_MAX } from './profile.ts';
import type { JobReport, OptimizerReport, Report } from './report.ts';
import { quantile } from './statistics.ts';
import { formatValue } from './text.ts';

/** Optimizers a chart can show before it is a tangle. */
const MOST_LINES = 8;

/** The charts of one job; those without data are left out. */
export function jobCharts(job: JobReport): Chart[] {
  const { metric } = job.objective;
  const shown = job.optimizers.slice(0, MOST_LINES);
  const finalists = shown.filter(({ finals }) => finals.length > 0);
  const training = curveRows(finalists, (point) => point.loss);
  const validation = curveRows(finalists, (point) => point.metrics[metric] ?? Number.NaN);
  const sensitivity = sensitivityRows(shown);
  const times = timeRows(finalists);
  return [
    ...(training.length === 0 ? [] : [curves('Training loss', 'training loss', training, shown)]),
    ...(validation.length === 0
      ? []
      : [curves(`Validation: ${metric}`, metric, validation, shown, job.objective.target)]),
    ...(sensitivity.length === 0 ? [] : [sensitivityChart(job, sensitivity, shown)]),
    ...(times.length === 0 ? [] : [timeChart(job, times, shown)]),
    ...(job.profiles.length < 2
      ? []
      : [profileChart(job.profiles, 'Performance profile over seeds', shown.map(nameOf))]),
  ];
}

/** AlgoPerf's profile over several jobs. */
export function profileChart(
  profiles: NonNullable<Report['profiles']>,
  title: string,
  order: readonly string[],
): Chart {
  const rows = profiles
    .filter(({ optimizer }) => order.includes(optimizer))
    .flatMap(({ optimizer, steps }) => {
      const last = steps[steps.length - 1];
      return [...steps, { tau: TAU_MAX, share: last.share }].map((step) => ({ ...step, optimizer }));
    });
  return {
    title,
    note: `Share of the workloads on which an optimizer needs at most τ times as long to the target as the fastest one.`,
    svg: draw({
      order,
      x: { label: 'τ (times the fastest)', domain: [1, TAU_MAX] },
      y: { label: 'share of workloads', domain: [0, 1], percent: false },
      marks: [Plot.line(rows, { x: 'tau', y: 'share', stroke: 'optimizer', curve: 'step-after', strokeWidth: 2 })],
    }),
  };
}

interface CurveRow {
  readonly optimizer: string;
  readonly step: number;
  readonly middle: number;
  readonly low: number;
  readonly high: number;
}

type Point = OptimizerReport['finals'][number]['curve'][number];

/** Median and range over the seeds at every evaluation; runs that failed stop where they failed. */
function curveRows(optimizers: readonly OptimizerReport[], of: (point: Point) => number): CurveRow[] {
  return optimizers.flatMap(({ optimizer, finals }) => {
    const steps = [...new Set(finals.flatMap(({ curve }) => curve.map(({ step }) => step)))].sort((a, b) => a - b);
    return steps.flatMap((step): CurveRow[] => {
      const values = finals
        .flatMap(({ curve }) => curve.filter((p) => p.step === step).map(of))
        .filter(Number.isFinite);
      if (values.length === 0) return [];
      const at = (share: number) => quantile(values, share);
      return [{ optimizer, step, middle: at(0.5), low: at(0), high: at(1) }];
    });
  });
}

function curves(
  title: string,
  label: string,
  rows: readonly CurveRow[],
  shown: readonly OptimizerReport[],
  target?: number,
): Chart {
  // Losses fall over decades; a metric does not, and zero or less has no logarithm.
  const log = title === 'Training loss' && rows.every(({ low }) => low > 0);
  return {
    title,
    note: 'Line: median over the fresh seeds. Band: lowest to highest.',
    svg: draw({
      order: shown.map(nameOf),
      x: { label: 'step' },
      y: { label, type: log ? 'log' : 'linear', zero: false },
      marks: [
        Plot.areaY(rows, { x: 'step', y1: 'low', y2: 'high', fill: 'optimizer', fillOpacity: 0.15 }),
        Plot.line(rows, { x: 'step', y: 'middle', stroke: 'optimizer', strokeWidth: 2 }),
        ...(target === undefined ? [] : [Plot.ruleY([target], { stroke: 'currentColor', strokeDasharray: '4 3' })]),
      ],
    }),
  };
}

function sensitivityRows(optimizers: readonly OptimizerReport[]) {
  return optimizers.flatMap(({ optimizer, tuning, sensitivity }) =>
    tuning
      .filter(({ step, value }) => step === sensitivity?.step && Number.isFinite(value))
      .map(({ lr, value }) => ({ optimizer, lr, value }))
      .sort((a, b) => a.lr - b.lr),
  );
}

function sensitivityChart(
  job: JobReport,
  rows: ReturnType<typeof sensitivityRows>,
  shown: readonly OptimizerReport[],
): Chart {
  const step = shown.find(({ sensitivity }) => sensitivity)?.sensitivity?.step;
  return {
    title: 'Learning-rate sensitivity',
    note: `${job.objective.metric} after ${step} steps of every learning rate tried, one seed. Rates that failed are not drawn.`,
    svg: draw({
      order: shown.map(nameOf),
      x: { label: 'learning rate', type: 'log' },
      y: { label: job.objective.metric, zero: false },
      marks: [
        Plot.line(rows, { x: 'lr', y: 'value', stroke: 'optimizer', strokeWidth: 1.5 }),
        Plot.dot(rows, { x: 'lr', y: 'value', fill: 'optimizer', r: 3 }),
      ],
    }),
  };
}

function timeRows(optimizers: readonly OptimizerReport[]) {
  return optimizers.flatMap(({ optimizer, finals }) =>
    finals
      .filter(({ secondsToTarget }) => Number.isFinite(secondsToTarget))
      .map(({ secondsToTarget }) => ({ optimizer, seconds: secondsToTarget })),
  );
}

function timeChart(job: JobReport, rows: ReturnType<typeof timeRows>, shown: readonly OptimizerReport[]): Chart {
  const { metric, mode, target } = job.objective;
  return {
    title: 'Time to target',
    note: `Seconds of training until ${metric} ${mode === 'max' ? '≥' : '≤'} ${formatValue(target ?? Number.NaN)}, a dot a seed, a bar at the median. Runs that missed are not drawn; the table counts them.`,
    svg: draw({
      order: shown.map(nameOf),
      x: { label: 'seconds', zero: true },
      y: {
        label: '',
        type: 'band',
        domain: shown.filter(({ optimizer }) => rows.some((r) => r.optimizer === optimizer)).map(nameOf),
      },
      height: 60 + 34 * new Set(rows.map(({ optimizer }) => optimizer)).size,
      marginLeft: 90,
      marks: [
        Plot.dot(rows, { x: 'seconds', y: 'optimizer', fill: 'optimizer', r: 4, fillOpacity: 0.7 }),
        Plot.tickX(
          rows,
          Plot.groupY({ x: 'median' }, { x: 'seconds', y: 'optimizer', stroke: 'optimizer', strokeWidth: 3 }),
        ),
      ],
    }),
  };
}

function nameOf({ optimizer }: OptimizerReport): string {
  return optimizer;
}
