import { closest, LockstepError } from '../errors.ts';
import { ADABELIEF } from './adabelief.ts';
import { ADADELTA } from './adadelta.ts';
import { ADAFACTOR } from './adafactor.ts';
import { ADAGRAD } from './adagrad.ts';
import { ADAM, ADAMW } from './adam.ts';
import { ADAMAX } from './adamax.ts';
import { ADAN } from './adan.ts';
import { ASGD } from './asgd.ts';
import { EMA, SWA } from './averages.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { definitionOf } from './custom.ts';
import { defaultLr, missingLearningRate } from './description.ts';
import { GRADIENT_NOISE } from './gradient-noise.ts';
import { type GroupRules, parseGroups } from './groups.ts';
import { LAMB } from './lamb.ts';
import { LARS } from './lars.ts';
import { LBFGS } from './lbfgs.ts';
import { LION } from './lion.ts';
import { LOOKAHEAD } from './lookahead.ts';
import { MUON } from './muon.ts';
import { NADAM, NADAMW } from './nadam.ts';
import { NOVOGRAD } from './novograd.ts';
import { parseOptions, show } from './options.ts';
import { PRODIGY } from './prodigy.ts';
import { RADAM } from './radam.ts';
import { RMSPROP } from './rmsprop.ts';
import { RPROP } from './rprop.ts';
import { SAM } from './sam.ts';
import { SCHEDULE_FREE_ADAMW, SCHEDULE_FREE_SGD } from './schedule-free.ts';
import { parseSchedule, type Schedule } from './schedules.ts';
import { MOMENTUM, NESTEROV, SGD } from './sgd.ts';
import { SGLD } from './sgld.ts';
import { SHAMPOO } from './shampoo.ts';
import { SOAP } from './soap.ts';
import { SOPHIA } from './sophia.ts';
import { SWATS } from './swats.ts';
import type { OptimizerWrapper } from './wrapper.ts';
import { YOGI } from './yogi.ts';

/** Every built-in optimizer. A new one is one file, one row here and one row in the golden test. */
export const OPTIMIZERS: Readonly<Record<string, OptimizerDef>> = {
  sgd: SGD,
  momentum: MOMENTUM,
  nesterov: NESTEROV,
  asgd: ASGD,
  rprop: RPROP,
  adagrad: ADAGRAD,
  rmsprop: RMSPROP,
  adadelta: ADADELTA,
  adam: ADAM,
  adamw: ADAMW,
  adamax: ADAMAX,
  nadam: NADAM,
  nadamw: NADAMW,
  radam: RADAM,
  adabelief: ADABELIEF,
  yogi: YOGI,
  adan: ADAN,
  lion: LION,
  sophia: SOPHIA,
  prodigy: PRODIGY,
  swats: SWATS,
  scheduleFreeSgd: SCHEDULE_FREE_SGD,
  scheduleFreeAdamw: SCHEDULE_FREE_ADAMW,
  lamb: LAMB,
  lars: LARS,
  novograd: NOVOGRAD,
  adafactor: ADAFACTOR,
  muon: MUON,
  shampoo: SHAMPOO,
  soap: SOAP,
  lbfgs: LBFGS,
  sgld: SGLD,
};

/** Optimizers around another one, which is their `base`. */
export const WRAPPERS: Readonly<Record<string, OptimizerWrapper>> = {
  ema: EMA,
  swa: SWA,
  lookahead: LOOKAHEAD,
  sam: SAM,
  gradientNoise: GRADIENT_NOISE,
};

/** An optimizer ready for a model (see bindOptimizer). */
export interface ResolvedOptimizer {
  readonly def: OptimizerDef;
  /** Validated, with defaults, without `lr`; plain data. */
  readonly options: object;
  /** The learning rate, for `lrAt`; plain data. */
  readonly schedule: Schedule;
  /** Parameter groups, validated; plain data. */
  readonly rules: GroupRules;
}

/** What every description may hold beside the optimizer's own options. */
const COMMON = ['lr', 'groups', 'noDecay', 'compat'];

/**
 * Finds the definition of a description, validates its options, learning rate and groups, and fills in defaults.
 *
 * @param custom the definition of a custom optimizer; needed only where the description has travelled (see definitionAt).
 * @throws E_OPTION for an unknown optimizer or option (with the closest known name) or a value out of range.
 */
export function resolveOptimizer(
  description: OptimizerDescription,
  custom: OptimizerDef | undefined = definitionOf(description),
): ResolvedOptimizer {
  const wrapper = wrapperOf(description);
  if (wrapper !== undefined) return resolveWrapped(description, wrapper, custom);
  const def = definitionFor(description, custom);
  const { kind, compat, lr = defaultLr(def, compat), groups, noDecay, ...own } = description;
  const options = parseOptions(def.options, { ...presetOf(def, compat), ...own }, 'optimizer', COMMON);
  if (lr === undefined) throw missingLearningRate(kind);
  return { def, options, schedule: parseSchedule(lr, 'optimizer.lr'), rules: parseGroups(groups, noDecay) };
}

/** The base resolves by itself; rate and groups of the outer description come before those inside. */
function resolveWrapped(
  description: OptimizerDescription,
  wrapper: OptimizerWrapper,
  custom: OptimizerDef | undefined,
): ResolvedOptimizer {
  const { kind, lr, base, groups, noDecay, ...own } = description;
  if (!isDescription(base)) {
    throw new LockstepError('E_OPTION', {
      where: `optimizer ${kind}`,
      expected: 'an optimizer to wrap, as base',
      got: show(base),
      fix: `write ${kind}(adam({ lr: 0.001 }))`,
    });
  }
  const inner = resolveOptimizer(lr === undefined ? base : { ...base, lr }, custom);
  const options = parseOptions(wrapper.options, own, 'optimizer', ['lr', 'base', 'groups', 'noDecay']);
  const outer = parseGroups(groups, noDecay);
  return {
    def: wrapper.wrap(inner.def),
    options: { ...options, base: inner.options },
    schedule: inner.schedule,
    rules: {
      groups: groups === undefined ? inner.rules.groups : outer.groups,
      noDecay: noDecay === undefined ? inner.rules.noDecay : outer.noDecay,
    },
  };
}

/** A resolved optimizer as plain data, with everything that decides what it does. */
export function describeOptimizer({
  def,
  options,
  schedule,
  rules,
}: ResolvedOptimizer): Record<string, unknown> & { kind: string } {
  const { groups, noDecay } = rules;
  return {
    kind: def.kind,
    lr: schedule,
    ...describeOptions(def, options),
    ...(groups.length > 0 && { groups }),
    ...(noDecay.length > 0 && { noDecay }),
  };
}

function describeOptions({ base }: OptimizerDef, options: object): object {
  if (base === undefined || !('base' in options) || typeof options.base !== 'object' || options.base === null)
    return options;
  return { ...options, base: { kind: base.kind, ...describeOptions(base, options.base) } };
}

function wrapperOf(description: unknown): OptimizerWrapper | undefined {
  return isDescription(description) && Object.hasOwn(WRAPPERS, description.kind)
    ? WRAPPERS[description.kind]
    : undefined;
}

const isDescription = (value: unknown): value is OptimizerDescription =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'kind') === 'string';

/** What a framework does otherwise, without its lr. */
function presetOf({ kind, compat: known = {} }: OptimizerDef, compat: unknown): object {
  if (compat === undefined) return {};
  const preset = Object.entries(known).find(([name]) => name === compat);
  if (preset !== undefined) {
    const { lr: _, ...options } = preset[1];
    return options;
  }
  const names = Object.keys(known);
  throw new LockstepError('E_OPTION', {
    where: 'optimizer.compat',
    expected: names.length === 0 ? `no compat: ${kind} follows its paper alone` : `one of ${names.join(', ')}`,
    got: show(compat),
    fix: names.length === 0 ? 'remove it' : 'use one of these',
  });
}

function definitionFor(description: unknown, custom: OptimizerDef | undefined): OptimizerDef {
  const kind: unknown = typeof description === 'object' && description !== null && Reflect.get(description, 'kind');
  const known = [...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)];
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
  if (custom.kind === kind && !known.includes(kind)) return custom;
  throw new LockstepError('E_OPTION', {
    where: 'optimizer.kind',
    expected:
      custom.kind === kind ? 'a name that no built-in optimizer has' : `'${custom.kind}', the definition's kind`,
    got: `'${kind}'`,
    fix: 'give the custom definition a kind of its own and make descriptions with defineOptimizer',
  });
}
