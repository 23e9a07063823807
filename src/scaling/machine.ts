import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { median } from '../compare/statistics.ts';
import { isFar, measureCoreDistance } from './core-distance.ts';

/** Where figures come from; printed with them. */
export interface MachineBlock {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly date: string;
  /** 1-minute load average before the first round. */
  readonly loadBefore: number;
  /** Shares of the cores that others used while every contestant was idle: median of all looks. */
  busyElsewhere: number;
  /** The looks. */
  readonly looks: number[];
  /** Nanoseconds in which a cache line goes from a core to another and back, at each look at which two threads ran at once. */
  readonly coreDistancesNs: number[];
  /** Instruction sets and library of each GEMM that ran, by name. */
  readonly kernels: Record<string, string>;
  /** GFLOP/s of one thread, 1024 x 1024 x 1024, in this run. */
  readonly gemmGflops: Record<string, number>;
  /** How far the speed of one core moved between rounds: (largest - smallest) / median. */
  speedDrift?: number;
  readonly warnings: string[];
}

/** Share of the cores in use above which a look counts as disturbed, and share of the looks above which figures of a run are doubtful. */
const BUSY_LIMIT = 0.1;
const DISTURBED_LIMIT = 0.2;
/** Change of one thread's speed between rounds above which they are doubtful. */
const DRIFT_LIMIT = 0.1;

export function describeMachine(): MachineBlock {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    date: new Date().toISOString(),
    loadBefore: loadavg()[0],
    busyElsewhere: 0,
    looks: [],
    coreDistancesNs: [],
    kernels: {},
    gemmGflops: {},
    warnings: [],
  };
}

/** Looks for `ms` what others do while we do nothing, and then how far the cores are from each other. */
export async function watchOthers(machine: MachineBlock, ms: number): Promise<void> {
  const before = cpuTimes();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = cpuTimes();
  const total = after.total - before.total;
  if (total > 0) machine.looks.push((after.busy - before.busy) / total);
  if (machine.looks.length > 0) machine.busyElsewhere = median(machine.looks);
  const distance = machine.cores > 1 ? await measureCoreDistance() : undefined;
  if (distance !== undefined) machine.coreDistancesNs.push(distance);
}

/** Virtual cores that moved between sharing a cache and not sharing one; nothing where they stayed as they were. */
export function warnIfCoresMoved(machine: MachineBlock): void {
  const { coreDistancesNs: distances } = machine;
  const nearest = Math.min(...distances);
  const far = distances.filter((ns) => isFar(ns, nearest));
  if (far.length === 0) return;
  machine.warnings.push(
    `the cores moved: in ${far.length} of ${distances.length} looks a cache line went from one to the other and back in ${Math.round(median(far))} ns instead of ${Math.round(nearest)}; rounds with several workers are of two kinds`,
  );
}

/** The distance between cores in words, or nothing where none was measured. */
export function coreDistanceText({ coreDistancesNs: distances }: MachineBlock): string | undefined {
  if (distances.length === 0) return undefined;
  const [shortest, longest] = [Math.min(...distances), Math.max(...distances)].map(Math.round);
  return `a cache line goes from one core to another and back in ${Math.round(median(distances))} ns (${shortest} to ${longest})`;
}

export function warnIfLoaded(machine: MachineBlock): void {
  const { looks } = machine;
  const disturbed = looks.filter((share) => share > BUSY_LIMIT).length;
  if (disturbed <= DISTURBED_LIMIT * looks.length) return;
  const most = Math.round(100 * Math.max(...looks));
  machine.warnings.push(
    `loaded machine: in ${disturbed} of ${looks.length} looks between rounds others used more than ${100 * BUSY_LIMIT} % of the cores (up to ${most} %); measure again`,
  );
}

/** How far the speed of one thread (any unit) moved between rounds: (largest - smallest) / median. */
export function drift(speeds: readonly number[]): number {
  if (speeds.length === 0) return 0;
  const sorted = [...speeds].sort((a, b) => a - b);
  return (sorted[sorted.length - 1] - sorted[0]) / sorted[sorted.length >> 1];
}

export function warnIfDrifting(machine: MachineBlock, speeds: readonly number[]): void {
  machine.speedDrift = Math.max(machine.speedDrift ?? 0, drift(speeds));
  if (drift(speeds) <= DRIFT_LIMIT) return;
  machine.warnings.push(
    `the speed of one core moved by ${Math.round(100 * drift(speeds))} % between rounds (frequency, other guests): compare rows of this run only`,
  );
}

function cpuTimes(): { busy: number; total: number } {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { busy, total };
}
