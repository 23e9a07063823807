import type { Program } from '../graph/program.ts';
import { commonGemms, groupProgram } from '../graph/row-groups.ts';
import type { BackendChoice } from '../kernels/backend.ts';
import { rowsAreIndependent } from '../kernels/gemm-bits.ts';
import { groupsOf, type InstructionInput, largestGroup } from '../parallel/step-plan.ts';
import type { CompiledJob } from './compile.ts';

/**
 * Rows of a group's GEMMs that are tried, most first: beyond some hundred rows they gain little and activations leave the cache.
 * Where each sample brings several rows (positions), so many fewer samples.
 */
const GROUP_ROWS = [512, 256, 128];

/** How neighbouring shards go together. */
export interface Grouping {
  /** By rows of the batch; 0: each shard by itself. */
  readonly groupRows: Readonly<Record<number, number>>;
  /** Programs for the groups, beside those of single shards. */
  readonly programs: readonly Program[];
  /** Rows of the shards of each group, joined by commas. */
  readonly groups: readonly string[];
  /** Most shards in a group. */
  readonly group: number;
  readonly activationBytes: number;
}

/**
 * For each size of batch the largest groups in which every shard keeps its bits: the model computes each row by itself, the GEMM
 * gives a row the same bits in a group as in its shard, and the activations stay within the budget of a shard. Only speed
 * depends on the answer. `nodes`: how many may share a batch; what they do not foresee goes shard by shard.
 */
export function chooseGrouping(
  compiled: CompiledJob,
  plan: Omit<InstructionInput, 'groupRows'>,
  backend: BackendChoice,
  kernels: WebAssembly.Module,
  activationBudget: number,
  nodes: readonly number[] = [1],
): Grouping {
  const rowLocal = compiled.trainPrograms.every((program) => program.rowLocal);
  const keepsBits = (rows: readonly number[]): boolean => {
    const program = compiled.compileTrain(total(rows));
    const partsOf = (m: number) => rows.map((n) => (m / program.rows) * n);
    return (
      program.rowLocal &&
      program.activationBytes <= activationBudget &&
      rowsAreIndependent(backend, kernels, commonGemms(program), partsOf)
    );
  };
  const groupRows: Record<number, number> = {};
  const groups: number[][] = [];
  for (const batchRows of rowLocal ? compiled.batches : []) {
    for (const gemmRows of GROUP_ROWS) {
      const candidate = Math.floor(gemmRows / compiled.rowsPerSample);
      const found = groupsOf({ ...plan, groupRows: { [batchRows]: candidate } }, batchRows, nodes);
      if (!found.every(keepsBits)) continue;
      groupRows[batchRows] = candidate;
      groups.push(...found);
      break;
    }
  }
  const activations = groups.map((rows) => {
    const accumulate = rows.map(() => true);
    const single = (n: number) => compiled.compileTrain(n);
    return groupProgram(single(total(rows)), single, rows, accumulate, compiled.tensors).activationBytes;
  });
  return {
    groupRows,
    programs: [...new Set(groups.map(total))].map((rows) => compiled.compileTrain(rows)),
    groups: groups.map((rows) => rows.join()),
    group: largestGroup(groups),
    activationBytes: Math.max(0, ...activations),
  };
}

function total(rows: readonly number[]): number {
  return rows.reduce((sum, n) => sum + n, 0);
}
