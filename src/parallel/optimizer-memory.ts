import type { Block } from '../graph/layout.ts';
import type { TensorEntry } from '../graph/program.ts';
import { type ClipOptions, NORM_STATE } from '../optim/clip.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { planSlots, type SlotVector, stateNames } from '../optim/slots.ts';

/** Sums that a driver may ask for at once. */
export const DRIVER_SUMS = 8;

/** What an optimizer needs of the arena. Pure: model and options in, sizes out. */
export interface OptimizerMemory {
  readonly slots: readonly SlotVector[];
  /** Names of the numbers that persist between steps, in the order in which progress.ts keeps them. */
  readonly progressNames: readonly string[];
  /** Doubles of the scalars of all groups, for each worker. */
  readonly scalars: number;
  /** Doubles of the table of partial sums (two, used in turn); 0: nothing is summed. */
  readonly partialSums: number;
  /** Floats of scratch memory, and of a transformed gradient, for each worker. */
  readonly scratch: number;
  readonly transformed: number;
  /** Evaluates with other parameters than it trains. */
  readonly evaluates: boolean;
  /** Computes several gradients a step. */
  readonly drives: boolean;
}

export function optimizerMemory(
  optimizer: BoundOptimizer,
  tensors: readonly TensorEntry[],
  blocks: readonly Block[],
  clip: ClipOptions,
): OptimizerMemory {
  const { def, groups, groupOf } = optimizer;
  const trained = tensors.map((tensor, i) => ({ tensor, ...groups[groupOf[i]] })).filter(({ frozen }) => !frozen);
  const longest = (lengths: readonly number[]): number => lengths.reduce((a, b) => Math.max(a, b), 0);
  const pieceLength = longest(
    def.unit === 'tensor' ? tensors.map(({ size }) => size) : blocks.map(({ length }) => length),
  );
  return {
    slots: planSlots(optimizer, tensors),
    progressNames: [...stateNames(optimizer), ...(clip.globalNorm === 'auto' ? NORM_STATE : [])],
    scalars: groups.length * def.scalarNames.length,
    partialSums: 2 * sumRows(optimizer, tensors, blocks) * sumWidth(optimizer),
    scratch: longest(trained.map(({ tensor, options }) => def.scratch?.(tensor, options) ?? 0)),
    transformed: def.transform ? pieceLength : 0,
    evaluates: def.evalParameters !== undefined,
    drives: def.drive !== undefined,
  };
}

/** Doubles of one row of the table of partial sums. */
export function sumWidth({ def }: BoundOptimizer): number {
  return Math.max(def.measures ?? 0, def.drive ? DRIVER_SUMS : 0);
}

export function sumRows({ def }: BoundOptimizer, tensors: readonly unknown[], blocks: readonly unknown[]): number {
  return def.unit === 'tensor' ? tensors.length : blocks.length;
}
