/**
 * Optimizers around other optimizers (averages of the weights, Lookahead, SAM, gradient noise): a description with another one as
 * `base`. Everything is that of the base but for what the wrapper adds.
 */
import { type ZodType, z } from 'zod';
import { LockstepError } from '../errors.ts';
import type { OptimizerAbout, OptimizerDef, OptimizerDescription, StepInfo } from './contract.ts';
import { show } from './options.ts';

/** Options of a wrapped optimizer: the wrapper's own, and those of the base. */
export type Wrapped<O> = O & { readonly base: object };

export interface OptimizerWrapper<O extends object = object> {
  readonly kind: string;
  /** The wrapper's own options. */
  readonly options: ZodType<O>;
  readonly about: OptimizerAbout;
  /** @throws E_OPTION for a base that it does not fit. */
  wrap(base: OptimizerDef): OptimizerDef<Wrapped<O>>;
}

/** A description of a wrapper: its learning rate is the base's. */
export function describeWrapped(kind: string, base: OptimizerDescription, options: object = {}): OptimizerDescription {
  if (typeof base !== 'object' || base === null || typeof base.kind !== 'string') {
    throw new LockstepError('E_OPTION', {
      where: `${kind}(...)`,
      expected: 'an optimizer to wrap',
      got: show(base),
      fix: `write ${kind}(adam({ lr: 0.001 }))`,
    });
  }
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { kind, lr: base.lr, base, ...Object.fromEntries(given) };
}

/** The definition of `base` for options with the base's inside: what a wrapper starts from. */
export function delegate<O extends object>(kind: string, base: OptimizerDef): OptimizerDef<Wrapped<O>> {
  if (base.fullBatch) {
    throw new LockstepError('E_OPTION', {
      where: `optimizer ${kind}`,
      expected: 'an optimizer that updates step by step',
      got: base.kind,
      fix: `use ${base.kind} without ${kind}`,
    });
  }
  const inner = innerInfo();
  const { bind, cost, proportional, scratch, measure, transform, kernel, after, evalParameters, drive } = base;
  return {
    kind,
    base,
    options: z.custom<Wrapped<O>>(),
    unit: base.unit,
    defaultLr: base.defaultLr,
    state: base.state,
    measures: base.measures,
    scalarNames: base.scalarNames,
    slots: (options, tensor) => base.slots(options.base, tensor),
    scalars: (info, out, state, sums) => base.scalars(inner(info), out, state, sums),
    update: (view, s, options) => base.update(view, s, options.base),
    ...(bind && { bind: (options, tensors) => ({ ...options, base: bind(options.base, tensors) }) }),
    ...(proportional && { proportional }),
    ...(cost && { cost: (tensor, options) => cost(tensor, options.base) }),
    ...(scratch && { scratch: (tensor, options) => scratch(tensor, options.base) }),
    ...(measure && { measure: (view, out, info, state) => measure(view, out, inner(info), state) }),
    ...(transform && { transform: (view, out, s, info) => transform(view, out, s, inner(info)) }),
    ...(kernel && { kernel: (options) => kernel(options.base) }),
    ...(after && { after: (view, s, options) => after(view, s, options.base) }),
    ...(evalParameters && {
      evalParameters: (view, out, options, state) => evalParameters(view, out, options.base, state),
    }),
    ...(drive && {
      drive: (driver) => drive({ ...driver, info: { ...driver.info, options: driver.info.options.base } }),
    }),
  };
}

/** Step information for the base; one object for all calls, because a step allocates nothing. */
function innerInfo(): (info: StepInfo<{ readonly base: object }>) => StepInfo<object> {
  const inner = { step: 0, lr: 0, gradScale: 1, weight: 1, options: {} as object };
  return ({ step, lr, gradScale, weight = 1, options }) => {
    inner.step = step;
    inner.lr = lr;
    inner.gradScale = gradScale;
    inner.weight = weight;
    inner.options = options.base;
    return inner;
  };
}
