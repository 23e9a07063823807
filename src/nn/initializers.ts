/**
 * How parameters start. A rule is a function of the fans of a weight, fanIn = inputs and fanOut = outputs of one unit (times the
 * positions of a kernel); what it gives is plain data that workers turn into numbers by Philox from (seed, tensor, element).
 *
 *     xavier  Glorot & Bengio, AISTATS 2010:      variance 2 / (fanIn + fanOut)   for tanh, sigmoid and linear
 *     he      He et al., arXiv:1502.01852, 2015:  variance 2 / fanIn              for relu and its relatives
 *     lecun   LeCun et al., Efficient BackProp:   variance 1 / fanIn
 *
 * A uniform rule of variance v draws from [-sqrt(3 v), sqrt(3 v)). As in PyTorch the normal rules are not truncated (Keras cuts
 * at two standard deviations and widens to keep the variance).
 */
import type { Initializer } from '../graph/program.ts';
import { optionError, show } from './options.ts';

export type InitRule = (fanIn: number, fanOut: number) => Initializer;

function scaledNormal(variance: (fanIn: number, fanOut: number) => number): InitRule {
  return (fanIn, fanOut) => ({ kind: 'normal', mean: 0, std: Math.sqrt(variance(fanIn, fanOut)) });
}

function scaledUniform(variance: (fanIn: number, fanOut: number) => number): InitRule {
  return (fanIn, fanOut) => {
    const limit = Math.sqrt(3 * variance(fanIn, fanOut));
    return { kind: 'uniform', low: -limit, high: limit };
  };
}

export function heNormal(): InitRule {
  return scaledNormal((fanIn) => 2 / fanIn);
}
export function heUniform(): InitRule {
  return scaledUniform((fanIn) => 2 / fanIn);
}
export function xavierNormal(): InitRule {
  return scaledNormal((fanIn, fanOut) => 2 / (fanIn + fanOut));
}
export function xavierUniform(): InitRule {
  return scaledUniform((fanIn, fanOut) => 2 / (fanIn + fanOut));
}
export function lecunNormal(): InitRule {
  return scaledNormal((fanIn) => 1 / fanIn);
}
export function lecunUniform(): InitRule {
  return scaledUniform((fanIn) => 1 / fanIn);
}

/** Normal numbers of this standard deviation, whatever the fans. Throws E_OPTION unless std >= 0. */
export function normal(std: number, mean = 0): InitRule {
  if (!(std >= 0 && Number.isFinite(std))) throw optionError('normal: std', 'a number of at least 0', show(std));
  checkFinite('normal: mean', mean);
  return () => ({ kind: 'normal', mean, std });
}

/** Uniform in [low, high). Throws E_OPTION unless low <= high. */
export function uniform(low: number, high: number): InitRule {
  checkFinite('uniform: low', low);
  checkFinite('uniform: high', high);
  if (low > high) throw optionError('uniform', 'low <= high', `${low} > ${high}`, 'exchange the limits');
  return () => ({ kind: 'uniform', low, high });
}

export function zeros(): InitRule {
  return constant(0);
}
export function ones(): InitRule {
  return constant(1);
}
/** All elements equal. */
export function constant(value: number): InitRule {
  checkFinite('constant', value);
  return () => ({ kind: 'constant', value });
}

function checkFinite(where: string, value: unknown): void {
  if (!Number.isFinite(value)) throw optionError(where, 'a finite number', show(value));
}

/** What a rule gives for these fans; E_OPTION for what is no rule. */
export function resolveInit(where: string, rule: InitRule, fanIn: number, fanOut: number): Initializer {
  const init: unknown = typeof rule === 'function' ? rule(fanIn, fanOut) : rule;
  if (typeof rule === 'function' && typeof init === 'object' && init !== null && 'kind' in init) {
    return init as Initializer;
  }
  throw optionError(where, 'an initialiser', show(rule), 'call one of them, as in heNormal()');
}
