/** One group of contestants: started together, checked against each other, then run in interleaved rounds. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { measureCoreDistance } from '../../src/scaling/core-distance.ts';
import { makeRows } from '../../src/scaling/rows.ts';
import { CLIP_NORM, LEARNING_RATE, type Workload } from '../../src/scaling/workloads.ts';
import {
  type Contestant,
  type GemmName,
  type Group,
  labelOf,
  type OwnContestant,
  type PeerContestant,
} from './contestants.ts';
import { type MachineBlock, torchName, watchOthers } from './machine.ts';
import { lockstepCommand, missingPeer, peerCommand } from './peers.ts';
import { ParityReply, PeerError, PeerProcess, RunReply, SetupReply } from './protocol.ts';
import { type LeftOut, type Measured, type Result, toResult, Wire } from './results.ts';
import { median, orderOfRound, relativeDifference, type Slice } from './statistics.ts';

export interface RoundOptions {
  readonly rounds: number;
  /** Measured seconds a slice, and before them unmeasured ones. */
  readonly seconds: number;
  readonly warmup: number;
  readonly progress: (text: string) => void;
  /** Aborts when the user has seen enough: what was measured until then is told. */
  readonly stop: AbortSignal;
}

/** Losses compared before anything is timed, and how much they may differ. */
export const PARITY_STEPS = 20;
export const PARITY_TOLERANCE = 1e-4;
/** Edge of the square matrices whose product gives the machine's GEMM rate. */
const GEMM_SIZE = 1024;

const OwnSetup = SetupReply.extend({ gemm: z.string(), kernels: z.string() });
const OwnRun = RunReply.extend({
  shards: z.number(),
  gemm: z.string(),
  shareOutsideSteps: z.number(),
  phases: z.record(z.string(), z.number()),
});
const WireReply = z.object({ wire: Wire.optional() });
const Done = z.object({});

/** Somebody ready to run. */
interface Entry {
  readonly contestant: Contestant;
  readonly parity: number | null;
  readonly slices: Slice[];
  /** Before each slice of several workers, where two threads ran at once. */
  readonly coreDistancesNs: (number | null)[];
  run(): Promise<void>;
  /** After the last round. */
  finish?(): Promise<void>;
  details: Pick<Measured, 'shards' | 'gemm' | 'shareOutsideSteps' | 'phases' | 'wire'>;
}

/** Writes the workload's rows where all contestants read them; the folder. */
export function writeRows(workload: Workload, parent: string): string {
  const folder = join(parent, workload.name);
  mkdirSync(folder);
  const { x, y } = makeRows(workload, 1);
  writeFileSync(join(folder, `x.${workload.input.dtype}`), new Uint8Array(x.buffer));
  writeFileSync(join(folder, 'y.i32'), new Uint8Array(y.buffer));
  return folder;
}

/** Runs a group to the end; nothing is left running. */
export async function runGroup(
  group: Group,
  folder: string,
  machine: MachineBlock,
  options: RoundOptions,
): Promise<{ results: Result[]; leftOut: LeftOut[] }> {
  const { progress } = options;
  const processes: PeerProcess[] = [];
  const leftOut: LeftOut[] = [];
  try {
    progress(`${group.title}: starting`);
    const own = await startOwn(group, folder, machine, processes);
    const losses = await exportStart(group, folder, own);
    const entries: Entry[] = [];
    for (const contestant of group.contestants) {
      try {
        const entry =
          contestant.peer === 'lockstep'
            ? ownEntry(contestant, need(own.get(contestant.gemm)), options)
            : await startPeer(group, contestant, folder, losses, machine, processes, options);
        entries.push(entry);
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
        leftOut.push(leave(group, contestant, error));
      }
    }
    const gemmMs = await interleave(group, entries, own, machine, options, leftOut);
    for (const [gemm, times] of gemmMs) {
      if (times.length > 0) machine.gemmGflops[gemm] = (2 * GEMM_SIZE ** 3) / median(times) / 1e6;
    }
    const results = entries
      .filter(({ slices }) => slices.length > 0)
      .map(({ contestant, parity, slices, coreDistancesNs, details }) =>
        toResult(group, { contestant, parity, slices, coreDistancesNs, ...details }, machine.gemmGflops),
      );
    return { results, leftOut };
  } finally {
    await Promise.all(processes.map((process) => process.close()));
  }
}

async function interleave(
  group: Group,
  entries: readonly Entry[],
  own: ReadonlyMap<GemmName, PeerProcess>,
  machine: MachineBlock,
  options: RoundOptions,
  leftOut: LeftOut[],
): Promise<Map<GemmName, number[]>> {
  const gemmMs = new Map<GemmName, number[]>([...own.keys()].map((gemm) => [gemm, []]));
  for (let round = 0; round < options.rounds && !options.stop.aborted; round++) {
    await watchOthers(machine, 150);
    options.progress(`${group.title}: round ${round + 1} of ${options.rounds}`);
    for (const [gemm, process] of own) {
      const request = { cmd: 'gemm', size: GEMM_SIZE, seconds: 0.15 };
      const measured = await asked(() => process.ask(request, RunReply), options.stop);
      gemmMs.get(gemm)?.push(...(measured?.stepsMs ?? []));
    }
    for (const entry of orderOfRound(entries, round)) {
      if (entry.slices.length < round) continue; // failed in an earlier round
      try {
        if (entry.contestant.workers > 1) entry.coreDistancesNs.push((await measureCoreDistance()) ?? null);
        await asked(() => entry.run(), options.stop);
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
        leftOut.push(leave(group, entry.contestant, error));
        entry.slices.length = 0;
      }
    }
  }
  for (const entry of entries) await asked(async () => entry.finish?.(), options.stop);
  return gemmMs;
}

/** Does it, unless it is time to stop: Ctrl-C goes to the contestants, too, so that from then on they may be gone. */
async function asked<T>(work: () => Promise<T>, stop: AbortSignal): Promise<T | undefined> {
  if (stop.aborted) return undefined;
  try {
    return await work();
  } catch (error) {
    if (!stop.aborted) throw error;
    return undefined;
  }
}

/** One process of ours for each GEMM that takes part. */
async function startOwn(
  group: Group,
  folder: string,
  machine: MachineBlock,
  processes: PeerProcess[],
): Promise<Map<GemmName, PeerProcess>> {
  const own = new Map<GemmName, PeerProcess>();
  for (const contestant of group.contestants) {
    if (contestant.peer !== 'lockstep' || own.has(contestant.gemm)) continue;
    const { gemm } = contestant;
    const process = new PeerProcess(lockstepCommand(gemm));
    processes.push(process);
    const setup = await process.ask(setupRequest(group, folder, 0), OwnSetup);
    machine.kernels[gemm] = setup.kernels;
    own.set(gemm, process);
  }
  return own;
}

function setupRequest({ workload }: Group, folder: string, batch: number): object {
  const { model, input, target } = workload;
  return { cmd: 'setup', model, input, target, folder, batch, lr: LEARNING_RATE, clip: CLIP_NORM };
}

/** Exports our weights and first batches for every global batch that a peer takes; our losses on them. */
async function exportStart(
  group: Group,
  folder: string,
  own: ReadonlyMap<GemmName, PeerProcess>,
): Promise<Map<number, number[]>> {
  const losses = new Map<number, number[]>();
  const [process] = own.values();
  for (const { peer, batch, workers } of group.contestants) {
    if (peer === 'lockstep' || losses.has(batch)) continue;
    await process.ask({ cmd: 'export', batch, steps: PARITY_STEPS, ids: idsPath(folder, batch) }, Done);
    const reply = await process.ask({ cmd: 'parity', batch, workers, steps: PARITY_STEPS }, ParityReply);
    losses.set(batch, reply.losses);
  }
  return losses;
}

function idsPath(folder: string, batch: number): string {
  return join(folder, `ids-${batch}.i32`);
}

function ownEntry(contestant: OwnContestant, process: PeerProcess, options: RoundOptions): Entry {
  const { batch, workers, shards, nodes } = contestant;
  const request = { cmd: 'run', batch, workers, shards, nodes, seconds: options.seconds, warmup: options.warmup };
  const entry: Entry = {
    contestant,
    parity: null,
    slices: [],
    coreDistancesNs: [],
    details: { shards: null, gemm: null },
    async run() {
      const { stepsMs, ...details } = await process.ask(request, OwnRun);
      entry.slices.push({ stepsMs });
      entry.details = details;
    },
    async finish() {
      if (nodes === undefined || entry.slices.length === 0) return;
      const { wire } = await process.ask({ cmd: 'wire', batch, workers, shards, nodes }, WireReply);
      entry.details = { ...entry.details, wire };
    },
  };
  return entry;
}

async function startPeer(
  group: Group,
  contestant: PeerContestant,
  folder: string,
  losses: ReadonlyMap<number, readonly number[]>,
  machine: MachineBlock,
  processes: PeerProcess[],
  { seconds, warmup }: RoundOptions,
): Promise<Entry> {
  const missing = missingPeer(contestant.peer);
  if (missing !== undefined) throw new PeerError(missing);
  const process = new PeerProcess(peerCommand(contestant));
  processes.push(process);
  const { version } = await process.ask(
    setupRequest(group, folder, contestant.batch / contestant.processes),
    SetupReply,
  );
  machine.peers[contestant.peer] = contestant.peer === 'torch' ? torchName(version) : version;
  const ids = idsPath(folder, contestant.batch);
  const theirs = await process.ask({ cmd: 'parity', ids }, ParityReply);
  const parity = worstDifference(theirs.losses, need(losses.get(contestant.batch)));
  if (!(parity <= PARITY_TOLERANCE)) {
    throw new PeerError(`its first ${PARITY_STEPS} losses differ from ours by up to ${parity.toExponential(1)}`);
  }
  const entry: Entry = {
    contestant,
    parity,
    slices: [],
    coreDistancesNs: [],
    details: { shards: null, gemm: null },
    async run() {
      const { stepsMs } = await process.ask({ cmd: 'run', seconds, warmup }, RunReply);
      entry.slices.push({ stepsMs });
    },
  };
  return entry;
}

/** Largest relative difference between two series of losses; infinite if their lengths differ. */
export function worstDifference(theirs: readonly number[], ours: readonly number[]): number {
  if (theirs.length !== ours.length || ours.length === 0) return Number.POSITIVE_INFINITY;
  return Math.max(...ours.map((loss, i) => relativeDifference(theirs[i], loss))); // NaN where one is
}

function leave({ workload }: Group, contestant: Contestant, error: PeerError): LeftOut {
  const { peer, way } = contestant;
  return {
    peer,
    way: peer === 'lockstep' ? labelOf(contestant) : way,
    workload: workload.name,
    reason: error.message,
  };
}

function need<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('bench: a contestant was not prepared');
  return value;
}
