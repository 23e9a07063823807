import { closest, LockstepError } from '../errors.ts';
import { ADAGRAD } from './adagrad.ts';
import { ADAM, ADAMW } from './adam.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { definitionOf, refuseUnsupported } from './custom.ts';
import { missingLearningRate } from './description.ts';
import { parseOptions, show } from './options.ts';
import { RMSPROP } from './rmsprop.ts';
import { parseSchedule, type Schedule } from './schedules.ts';
import { MOMENTUM, NESTEROV, SGD } from './sgd.ts';

/** Every built-in optimizer. A new one is one file, one row here and one row in the golden test. */
export const OPTIMIZERS: Readonly<Record<string, OptimizerDef>> = {
  sgd: SGD,
  momentum: MOMENTUM,
  nesterov: NESTEROV,
  adagrad: ADAGRAD,
  rmsprop: RMSPROP,
  adam: ADAM,
  adamw: ADAMW,
};

/** An optimizer ready to run. */
export interface ResolvedOptimizer {
  readonly def: OptimizerDef;
  /** Validated, with defaults, without `lr`; plain data. */
  readonly options: object;
  /** The learning rate, for `lrAt`; plain data. */
  readonly schedule: Schedule;
}

/**
 * Finds the definition of a description, validates its options and learning rate, and fills in defaults.
 *
 * @param custom the definition of a custom optimizer; needed only where the description has travelled (see definitionAt).
 * @throws E_OPTION for an unknown optimizer or option (with the closest known name) or a value out of range.
 */
export function resolveOptimizer(
  description: OptimizerDescription,
  custom: OptimizerDef | undefined = definitionOf(description),
): ResolvedOptimizer {
  const def = definitionFor(description, custom);
  refuseUnsupported(def);
  const { kind, lr = def.defaultLr, ...rest } = description;
  const options = parseOptions(def.options, rest, 'optimizer', ['lr']);
  if (lr === undefined) throw missingLearningRate(kind);
  return { def, options, schedule: parseSchedule(lr, 'optimizer.lr') };
}

function definitionFor(description: unknown, custom: OptimizerDef | undefined): OptimizerDef {
  const kind: unknown = typeof description === 'object' && description !== null && Reflect.get(description, 'kind');
  const known = Object.keys(OPTIMIZERS);
  if (typeof kind !== 'string') {
    throw new LockstepError('E_OPTION', {
      where: 'optimizer',
      expected: 'an optimizer such as adam({ lr: 0.001 })',
      got: show(description),
      fix: `call one of ${known.join(', ')}`,
    });
  }
  if (custom === undefined) {
    if (Object.hasOwn(OPTIMIZERS, kind)) return OPTIMIZERS[kind];
    const guess = closest(kind, known);
    throw new LockstepError('E_OPTION', {
      where: 'optimizer.kind',
      expected: `one of ${known.join(', ')}`,
      got: `'${kind}'`,
      fix: guess === undefined ? 'use one of those, or defineOptimizer for your own' : `did you mean '${guess}'?`,
    });
  }
  if (custom.kind === kind && !Object.hasOwn(OPTIMIZERS, kind)) return custom;
  throw new LockstepError('E_OPTION', {
    where: 'optimizer.kind',
    expected:
      custom.kind === kind ? 'a name that no built-in optimizer has' : `'${custom.kind}', the definition's kind`,
    got: `'${kind}'`,
    fix: 'give the custom definition a kind of its own and make descriptions with defineOptimizer',
  });
}
