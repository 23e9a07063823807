/** The run as a page of text. Pure. */
import { formatTable } from '../../src/cli/format.ts';
import { coreDistanceText, type MachineBlock } from './machine.ts';
import type { Ratio } from './ratios.ts';
import type { LeftOut, Result } from './results.ts';

export interface Report {
  readonly machine: MachineBlock;
  readonly results: readonly Result[];
  readonly ratios: readonly Ratio[];
  readonly leftOut: readonly LeftOut[];
  readonly notes: readonly string[];
}

export function renderReport({ machine, results, ratios, leftOut, notes }: Report): string {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.platform}, Node ${machine.node}, ${machine.date}`,
    ...Object.entries(machine.kernels).map(([gemm, detail]) => `GEMM ${gemm}: ${detail}${rate(machine, gemm)}`),
    ...Object.values(machine.peers),
    `load before ${machine.loadBefore.toFixed(2)}; used by others between rounds: ${percent(machine.busyElsewhere)} (up to ${percent(Math.max(0, ...machine.looks))})`,
    ...[coreDistanceText(machine) ?? []].flat(),
    ...machine.warnings.map((warning) => `WARNING: ${warning}`),
  ];
  if (results.length > 0) {
    const header = ['workload', 'who', 'cores', 'batch', 'S', 'ms a step', 'rounds', 'mean', 'samples/s', 'GEMM eff.'];
    lines.push('', ...formatTable(header, results.map(row)));
    lines.push('ms a step: median of the rounds; rounds: smallest and largest median; mean: of all steps');
  }
  if (leftOut.length > 0) {
    lines.push('', ...leftOut.map((l) => `no figure for ${l.workload}, ${l.peer} (${l.way}): ${l.reason}`));
  }
  if (ratios.length > 0) {
    const header = ['claim', 'measured', 'rounds', 'must', 'aim', 'met'];
    lines.push('', ...formatTable(header, ratios.map(ratioRow)), ...ratios.flatMap(kindLines));
  }
  if (notes.length > 0) lines.push('', ...notes);
  return `${lines.join('\n')}\n`;
}

function row(r: Result): string[] {
  return [
    r.workload,
    r.peer === 'lockstep' ? `lockstep ${r.gemm}` : `${r.peer}: ${r.way}`,
    String(r.workers),
    String(r.batch),
    r.shards === null ? '' : `${r.shards}${r.defaultShards ? '' : ' (set)'}`,
    ms(r.stepMs),
    `${ms(r.spread[0])} - ${ms(r.spread[1])}`,
    ms(r.meanMs),
    Math.round(r.samplesPerSec).toLocaleString('en-US'),
    r.gemmEfficiency === null ? '' : r.gemmEfficiency.toFixed(2),
  ];
}

function ratioRow(r: Ratio): string[] {
  const limit = (x: number | null) =>
    x === null ? '' : `${r.sense === 'atLeast' ? '>=' : '<='} ${x} ${r.unit}`.trim();
  return [
    r.name,
    `${number(r.value)} ${r.unit}`.trim(),
    r.spread === null ? '' : `${number(r.spread[0])} - ${number(r.spread[1])}`,
    limit(r.must),
    limit(r.aim),
    r.met ? 'yes' : 'NO',
  ];
}

/** Where the cores moved: the claim in rounds of either kind. */
function kindLines({ name, unit, byDistance = [] }: Ratio): string[] {
  const kinds = byDistance.map(
    ({ ns, value, rounds }) =>
      `${number(value)}${unit && ` ${unit}`} with the cores ${ns.toFixed(0)} ns apart (${rounds} of the rounds)`,
  );
  return kinds.length === 0 ? [] : [`${name}: ${kinds.join(', ')}`];
}

function rate(machine: MachineBlock, gemm: string): string {
  const gflops = machine.gemmGflops[gemm];
  return gflops === undefined ? '' : `, ${gflops.toFixed(0)} GFLOP/s a thread (1024 x 1024 x 1024)`;
}

const ms = (x: number) => x.toFixed(x < 1 ? 4 : x < 100 ? 2 : 1);
const number = (x: number) => x.toFixed(Math.abs(x) < 10 ? 2 : Math.abs(x) < 100 ? 1 : 0);
const percent = (share: number) => `${Math.round(100 * share)} %`;
