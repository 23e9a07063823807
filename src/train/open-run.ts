import { randomUUID } from 'node:crypto';
import { adviseHugePages } from '../kernels/huge-pages.ts';
import { definitionOf } from '../optim/custom.ts';
import { createArena } from '../parallel/arena.ts';
import { WorkerPool } from '../parallel/pool.ts';
import { writeRowHeaders } from '../parallel/row-memory.ts';
import type { ModuleRef, PlacedProgram, Session, SplitName } from '../parallel/session.ts';
import { referTo } from './custom-ref.ts';
import { namedSplits, placeAugmentations, placeData } from './place.ts';
import type { RunPlan } from './plan-run.ts';
import { placeParameters, placeState, type StartPoint } from './resume.ts';

/** Polls before a waiting worker sleeps: some tens of microseconds, about the cost of a wake-up. */
const SPINS = 20_000;
/** Of a coordinator, whose workers meet while nodes wait for parameters: as many as they differ by. Longer, and nodes beside it lack the core. */
const COORDINATOR_SPINS = 2_000;

export interface OpenRun {
  readonly session: Session;
  readonly pool: WorkerPool;
  /** What it goes on from. */
  readonly start?: StartPoint;
  /** On one of many machines: hash of the gradient of a fixed shard at the initial parameters. */
  readonly proof?: string;
}

/** Reserves the arena, places data and programs, and starts the workers. */
export async function openRun(plan: RunPlan, module: string | undefined, start?: StartPoint): Promise<OpenRun> {
  const session = await createSession(plan, module);
  if (plan.part) return openPart(session, start);
  if (!start) return { session, pool: await WorkerPool.open(session) };
  if (!start.warm) {
    placeState(session, start.checkpoint);
    return { session, pool: await WorkerPool.open(session, start.checkpoint.step), start };
  }
  const pool = await WorkerPool.open(session);
  placeParameters(session, start.checkpoint);
  return { session, pool, start };
}

/** The same for a coordinator or a node, which first proves that it computes the same job as the others. */
async function openPart(session: Session, start: StartPoint | undefined): Promise<OpenRun> {
  const pool = await WorkerPool.open(session);
  try {
    const proof = await pool.prove();
    if (start?.warm) placeParameters(session, start.checkpoint);
    else if (start) {
      placeState(session, start.checkpoint);
      await pool.restart(start.checkpoint.step);
    }
    return { session, pool, proof, ...(start && { start }) };
  } catch (error) {
    await pool.close();
    throw error;
  }
}

/** Everything that the workers are told, with data and programs in a new arena. No thread is started. */
export async function createSession(plan: RunPlan, module: string | undefined): Promise<Session> {
  const { compiled, layout, workers, part, local } = plan;
  const splits = namedSplits(plan.data);
  const reads = new Map<SplitName, ModuleRef>();
  for (const [name, split] of splits) {
    if (split.kind === 'computed') reads.set(name, await referTo(split.read, `data.${name} read`, module));
  }
  const optimizer = local?.outer ?? plan.job.optimizer;
  const definition = definitionOf(optimizer);
  const customOptimizer = definition && (await referTo(definition, `optimizer ${definition.kind}`, module));

  const memory = createArena(layout);
  adviseHugePages(memory.buffer);
  writeRowHeaders(layout.rows, memory.buffer);
  const placed = plan.programs.map((program, index): PlacedProgram => {
    new Uint8Array(memory.buffer, layout.constants[index], program.constants.length).set(program.constants);
    return { program, constants: index };
  });
  return {
    id: randomUUID(),
    memory,
    kernels: plan.kernels,
    backend: plan.backend,
    layout,
    workers,
    ...(part && { part }),
    ...(plan.wire !== 'fp32' && { wire: plan.wire }),
    ...(local && { pace: local.pace, proportional: local.proportional }),
    ...(plan.keptBytes > 0 && { keptBytes: plan.keptBytes }),
    spins: workers > plan.cores ? 0 : part === 'coordinator' ? COORDINATOR_SPINS : SPINS,
    seed: plan.job.seed,
    shards: compiled.shards,
    batchSize: compiled.batchSize,
    shuffle: plan.shuffle,
    totalSteps: local?.totalSteps ?? compiled.totalSteps,
    tensors: compiled.tensors,
    blocks: compiled.blocks,
    buffers: compiled.buffers,
    statistics: compiled.statistics,
    momentBytes: compiled.trainPrograms[0].momentBytes,
    rowTables: compiled.rowTables,
    partialSlots: plan.partialSlots,
    accumulate: plan.accumulate,
    groupRows: plan.groupRows,
    groups: plan.groups,
    trainPrograms: placed.slice(0, plan.trainPrograms.length),
    evaluationPrograms: placed.slice(plan.trainPrograms.length),
    sums: compiled.sums,
    evaluationRows: compiled.evaluationRows,
    splits: placeData(splits, memory.buffer, layout.data, reads),
    augmentations: placeAugmentations(plan.data),
    optimizer,
    customOptimizer,
    slots: plan.needs.slots,
    progressNames: plan.needs.progressNames,
    nonFinite: plan.job.nonFinite,
    noiseEvery: plan.noiseEvery,
    clip: local ? {} : plan.job.clip, // nodes clip the gradients of their steps
  };
}
