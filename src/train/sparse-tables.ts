import { LockstepError } from '../errors.ts';
import type { ParameterSpec } from '../nn/contract.ts';
import type { ClipOptions } from '../optim/clip.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { sparseForm } from '../optim/sparse.ts';

/** Smaller tables are cheaper to update whole than to sort rows for: a block of the flat vector. */
const LARGE_TABLE = 16_384;

/** What decides which tables have sparse gradients. */
export interface SparseQuestion {
  readonly parameters: readonly ParameterSpec[];
  /** Ids that a sample looks up in each table that is used for nothing else, by name. */
  readonly lookups: ReadonlyMap<string, number>;
  readonly optimizer: BoundOptimizer;
  readonly clip: ClipOptions;
  readonly batchSize: number;
}

/**
 * Names of the tables with sparse gradients: those that ask for it, and of those that leave it open the large ones where it changes
 * nothing but speed. Pure.
 *
 * @throws E_OPTION for a table that asks for it and cannot have it, with the reason.
 */
export function chooseSparse(question: SparseQuestion): ReadonlySet<string> {
  const { parameters, lookups, optimizer, clip, batchSize } = question;
  const { def, groups, groupOf } = optimizer;
  const chosen = new Set<string>();
  parameters.forEach(({ name, shape, sparseGradient = false }, i) => {
    if (sparseGradient === false) return;
    const { options, frozen } = groups[groupOf[i]];
    const ids = lookups.get(name);
    const form = sparseForm(def, options);
    if (sparseGradient === true) {
      const problem =
        (ids === undefined && 'a table that more is done with than looking up ids of the batch') ||
        (!form && !frozen && `${def.kind}${decayOf(options)}, which has no sparse form`) ||
        (clip.adaptive !== undefined && 'clip.adaptive, which needs whole tables');
      if (problem) throw cannot(name, problem, decayOf(options) !== '');
      chosen.add(name);
      return;
    }
    const large = shape[0] * shape[1] >= LARGE_TABLE && shape[0] > batchSize * (ids ?? 0);
    if (ids !== undefined && large && (frozen || form?.isDense) && clip.adaptive === undefined) chosen.add(name);
  });
  return chosen;
}

function decayOf(options: object): string {
  const decay: unknown = Reflect.get(options, 'weightDecay');
  return typeof decay === 'number' && decay !== 0 ? ` with weightDecay ${decay}` : '';
}

function cannot(name: string, got: string, decays: boolean): LockstepError {
  return new LockstepError('E_OPTION', {
    where: `${name}: sparse`,
    expected: 'a table that is only looked up, under sgd (no momentum), adagrad, adam or adamw without weight decay',
    got,
    fix: `leave the option out or set sparse: false${decays ? `, or take the table out of the decay: noDecay: ['${name}']` : ''}`,
  });
}
