import { LockstepError } from '../errors.ts';
import type { ParameterSpec } from '../nn/contract.ts';
import type { ClipOptions } from '../optim/clip.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { sparseForm } from '../optim/sparse.ts';

/** Smaller tables are cheaper to update whole than to sort rows for: a block of the flat vector. */
const LARGE_TABLE = 16_384;

/** Elements from which on a table that is updated whole deserves a word. */
const HUGE_TABLE = 1_000_000;

/** What decides which tables have sparse gradients. */
export interface SparseQuestion {
  readonly parameters: readonly ParameterSpec[];
  /** Ids that a sample looks up in each table that is used for nothing else, by name. */
  readonly lookups: ReadonlyMap<string, number>;
  readonly optimizer: BoundOptimizer;
  readonly clip: ClipOptions;
  readonly batchSize: number;
}

export interface SparseChoice {
  /** Names of the tables with sparse gradients. */
  readonly names: ReadonlySet<string>;
  /** Sentences about tables that could have them. */
  readonly advice: readonly string[];
}

/**
 * Which tables have sparse gradients: those that ask for it, and of those that leave it open the large ones where it changes
 * nothing but speed. Pure.
 *
 * @throws E_OPTION for a table that asks for it and cannot have it, with the reason.
 */
export function chooseSparse(question: SparseQuestion): SparseChoice {
  const { parameters, lookups, optimizer, clip, batchSize } = question;
  const { def, groups, groupOf } = optimizer;
  const names = new Set<string>();
  const advice: string[] = [];
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
      names.add(name);
      return;
    }
    const size = shape[0] * shape[1];
    if (ids === undefined || (!form && !frozen) || clip.adaptive !== undefined) return;
    if (size < LARGE_TABLE || shape[0] <= batchSize * ids) return;
    if (frozen || form?.isDense) names.add(name);
    else if (size >= HUGE_TABLE) {
      advice.push(
        `${name}: every step updates all ${shape[0]} rows, of which a batch looks up ${batchSize * ids} at most; embedding(..., { sparse: true }) ` +
          `updates those alone, by the lazy form of ${def.kind}`,
      );
    }
  });
  return { names, advice };
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
