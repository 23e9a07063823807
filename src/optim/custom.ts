/**
 * Optimizers that users define. A definition is code, a description is data: the description made by a custom optimizer
 * carries its definition under a symbol, which neither JSON nor structured clone sees. The main thread takes it from there;
 * workers import the user's module and look it up by its path in the exports (`definitionAt`), where the description (the
 * job's `optimizer`), the function made by `defineOptimizer`, or the bare definition may stand.
 */
import { LockstepError } from '../errors.ts';
import type { OptimizerDef, OptimizerDescription } from './contract.ts';
import { describe, type LearningRate } from './description.ts';
import { show } from './options.ts';

/** Registered, so that two copies of the package in one process understand each other. */
const DEFINITION: unique symbol = Symbol.for('lockstep.optimizer.definition');

/** What the user may pass. A strict schema without options of its own infers `never` for every other name, `lr` among them. */
type CustomOptions<I extends object> = { readonly lr?: LearningRate } & (string extends keyof I ? unknown : I);

/** Makes descriptions of a custom optimizer; `definition` is what it was made from. */
export interface CustomOptimizer<I extends object = object> {
  (options?: CustomOptions<I>): OptimizerDescription;
  readonly definition: OptimizerDef;
}

/**
 * Makes a custom optimizer usable like a built-in one: `export const lion = defineOptimizer({...})`, then
 * `optimizer: lion({ lr: 1e-4 })`. It runs through its `update` in the workers, which import the module that exports the job.
 * `I` is what the user may pass: unless said, the parsed options, all of them optional.
 *
 * @throws E_OPTION when a part of the definition is missing.
 */
export function defineOptimizer<H extends object, I extends object = Partial<H>>(
  definition: OptimizerDef<H>,
): CustomOptimizer<I> {
  const problem = definitionProblem(definition);
  if (problem !== undefined) {
    throw new LockstepError('E_OPTION', {
      where: 'defineOptimizer(...)',
      ...problem,
      fix: 'see docs/optimizer-contract.md',
    });
  }
  const make = (options?: CustomOptions<I>): OptimizerDescription => ({
    ...describe(definition, options),
    // Enumerable, so that a copy with another option, `{ ...description, lr: 0.1 }`, keeps the definition.
    [DEFINITION]: definition,
  });
  return Object.assign(make, { definition });
}

/** The definition that a description of this process carries, itself or as base; undefined for built-in kinds and for descriptions that travelled. */
export function definitionOf(description: unknown): OptimizerDef | undefined {
  if (typeof description !== 'object' || description === null) return undefined;
  const definition: unknown = Reflect.get(description, DEFINITION);
  if (isDefinition(definition)) return definition;
  return definitionOf(propertyOf(description, 'base')); // inside a wrapper
}

/**
 * Finds a custom definition in an imported module: `path` leads through its exports ('lion', 'default.optimizer').
 *
 * @throws E_CUSTOM_CODE when there is none at that place.
 */
export function definitionAt(exports: unknown, path: string): OptimizerDef {
  const found = path.split('.').reduce<unknown>((value, name) => propertyOf(value, name), exports);
  const definition = definitionOf(found) ?? propertyOf(found, 'definition') ?? found;
  if (isDefinition(definition)) return definition;
  throw new LockstepError('E_CUSTOM_CODE', {
    where: `export '${path}'`,
    expected: 'an optimizer made by defineOptimizer, or a description made with it',
    got: show(found),
    fix: 'export the custom optimizer, or the job that uses it, from the module that you name',
  });
}

function propertyOf(value: unknown, name: string): unknown {
  const holder = (typeof value === 'object' && value !== null) || typeof value === 'function';
  return holder ? Reflect.get(value, name) : undefined;
}

const isDefinition = (value: unknown): value is OptimizerDef => definitionProblem(value) === undefined;

/** What keeps `value` from being a definition. Structural, because the user's zod may be another copy than ours. */
function definitionProblem(value: unknown): { expected: string; got: string } | undefined {
  const problem = (name: string, expected: string) => ({
    expected: `${name}: ${expected}`,
    got: show(propertyOf(value, name)),
  });
  if (typeof propertyOf(value, 'kind') !== 'string') return problem('kind', 'a name');
  if (typeof propertyOf(propertyOf(value, 'options'), 'safeParse') !== 'function')
    return problem('options', 'a zod schema');
  const unit = propertyOf(value, 'unit');
  if (unit !== 'element' && unit !== 'tensor' && unit !== 'model')
    return problem('unit', "'element', 'tensor' or 'model'");
  const names = propertyOf(value, 'scalarNames');
  if (!Array.isArray(names) || names[0] !== 'gradScale' || names[1] !== 'lr') {
    return problem('scalarNames', "a list that begins with 'gradScale', 'lr'");
  }
  const missing = ['slots', 'scalars', 'update'].find((name) => typeof propertyOf(value, name) !== 'function');
  return missing === undefined ? undefined : problem(missing, 'a function');
}
