import * as Plot from '@observablehq/plot';
import { type Chart, COLOURS, draw } from '../compare/draw.ts';
import type { StepPhase } from './contract.ts';
import { PHASE_NAMES, phasesOfAll, workerName } from './describe.ts';
import type { JobScaling } from './report.ts';

/** A chart with the names of its series, for the legend. */
export interface SeriesChart {
  readonly chart: Chart;
  readonly names: readonly string[];
}

/** The charts of one job; those without data are left out. */
export function jobCharts(job: JobScaling): SeriesChart[] {
  return [efficiencyChart(job), phasesChart(job), predictionChart(job)].filter((chart) => chart !== undefined);
}

const KINDS = { strong: 'strong, fastest S', 'equal-shards': 'strong, equal S', weak: 'weak' } as const;

function efficiencyChart({ rows }: JobScaling): SeriesChart | undefined {
  const points = rows.map((row) => ({
    kind: KINDS[row.mode],
    workers: row.workers * row.nodes,
    nodes: row.nodes,
    efficiency: row.efficiency,
    low: (row.efficiency * row.spread[0]) / row.samplesPerSec,
    high: (row.efficiency * row.spread[1]) / row.samplesPerSec,
  }));
  if (points.length === 0) return undefined;
  const names = Object.values(KINDS).filter((kind) => points.some((p) => p.kind === kind));
  const sizes = [...new Set(points.map(({ workers }) => workers))].sort((a, b) => a - b);
  const [local, apart] = [points.filter(({ nodes }) => nodes === 1), points.filter(({ nodes }) => nodes > 1)];
  const ofNodes = apart.length > 0 ? ' Hollow: node processes, with their number.' : '';
  return {
    names,
    chart: {
      title: 'Efficiency',
      note: `Throughput of all workers against as many times one worker. Dashed: the ideal. Bars: slowest to fastest round.${ofNodes}`,
      svg: draw({
        order: names,
        x: { label: 'workers, all nodes together', type: 'point', domain: sizes, grid: false },
        y: { label: 'efficiency', domain: [0, Math.max(1.1, ...points.map(({ high }) => high))] },
        marks: [
          Plot.ruleY([1], { stroke: 'currentColor', strokeDasharray: '5 4' }),
          Plot.ruleX(points, {
            x: 'workers',
            y1: 'low',
            y2: 'high',
            stroke: 'kind',
            strokeWidth: 1.5,
            strokeOpacity: 0.6,
          }),
          Plot.line(local, { x: 'workers', y: 'efficiency', z: 'kind', stroke: 'kind', strokeWidth: 2 }),
          Plot.dot(local, { x: 'workers', y: 'efficiency', fill: 'kind', r: 4 }),
          Plot.dot(apart, { x: 'workers', y: 'efficiency', stroke: 'kind', strokeWidth: 2, r: 4 }),
          Plot.text(
            apart.filter(({ kind }) => kind === apart[0].kind),
            { x: 'workers', y: 'efficiency', text: 'nodes', fill: 'currentColor', dx: 12 },
          ),
        ],
      }),
    },
  };
}

function phasesChart({ explanations }: JobScaling): SeriesChart | undefined {
  const all = phasesOfAll(explanations);
  const merges = all.length > COLOURS; // then the two short waits are one
  const phases = all.filter((name) => !merges || name !== 'waitNorms');
  const nameOf = (name: StepPhase) => (merges && name === 'waitParameters' ? 'wait for norms, parameters' : PHASE_NAMES[name]); // biome-ignore format: one line
  const names = phases.map(nameOf);
  const parts = explanations.flatMap((e) =>
    e.perWorker.flatMap(({ node, rank, ms }) =>
      phases.map((name) => ({
        worker: `${e.nodes === 1 ? '' : `${e.nodes} x `}${e.workers} x ${e.batch}, S ${e.shards}: ${e.nodes === 1 ? 'worker ' : ''}${workerName(e.nodes, node, rank)}`,
        phase: nameOf(name),
        ms: ms[name] + (merges && name === 'waitParameters' ? ms.waitNorms : 0),
      })),
    ),
  );
  if (parts.length === 0) return undefined;
  const workers = [...new Set(parts.map(({ worker }) => worker))];
  return {
    names,
    chart: {
      title: 'Where a step’s time goes, on each worker',
      note: `Medians; the phases of a worker sum to its step. "2 x 512, S 8": two workers, batch 512, eight shards.${explanations.some(({ nodes }) => nodes > 1) ? ' "3 x 2 x 512": three nodes of two workers.' : ''}`,
      svg: draw({
        order: names,
        x: { label: 'milliseconds' },
        y: { label: '', type: 'band', domain: workers, grid: false },
        height: 60 + 26 * workers.length,
        marginLeft: 170,
        marks: [Plot.barX(parts, { x: 'ms', y: 'worker', fill: 'phase', order: names })],
      }),
    },
  };
}

function predictionChart({ series, whatIf, costs }: JobScaling): SeriesChart | undefined {
  const points = series.flatMap(({ topology, format, rows }) =>
    rows.map(({ nodes, samplesPerSec, band }) => ({
      name: `${topology}, ${format}`,
      nodes,
      samplesPerSec,
      low: band[0],
      high: band[1],
    })),
  );
  if (points.length === 0 || costs === undefined) return undefined;
  const names = [...new Set(points.map(({ name }) => name))];
  const sizes = [...new Set(points.map(({ nodes }) => nodes))];
  const least = points.reduce((first, p) => (p.nodes < first.nodes ? p : first));
  const ideal = sizes.map((nodes) => ({ nodes, samplesPerSec: (least.samplesPerSec / least.nodes) * nodes }));
  return {
    names,
    chart: {
      title: 'Predicted throughput',
      note: `Simulated from the measured phases, over ${whatIf.link.name}. Band: a tenth of the steps is below, a tenth above. Dashed: the ideal.`,
      svg: draw({
        order: names,
        x: { label: 'nodes', type: 'log', base: 2, ticks: sizes },
        y: { label: 'samples/s', type: 'log' },
        marginLeft: 70,
        marks: [
          Plot.line(ideal, { x: 'nodes', y: 'samplesPerSec', stroke: 'currentColor', strokeDasharray: '5 4' }),
          Plot.areaY(points, { x: 'nodes', y1: 'low', y2: 'high', z: 'name', fill: 'name', fillOpacity: 0.15 }),
          Plot.line(points, { x: 'nodes', y: 'samplesPerSec', z: 'name', stroke: 'name', strokeWidth: 2 }),
          Plot.dot(points, { x: 'nodes', y: 'samplesPerSec', fill: 'name', r: 2.5 }),
        ],
      }),
    },
  };
}
