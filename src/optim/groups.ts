/**
 * Parameter groups: which options, which scale of the learning rate and which freezing apply to which parameter, by its name.
 * A group shares one set of scalars and of persistent numbers; the clipping norm is one for all, without frozen parameters.
 */
import { z } from 'zod';
import { closest, LockstepError } from '../errors.ts';
import type { TensorEntry } from '../graph/program.ts';
import { notNegative, positive } from './common.ts';
import type { OptimizerDef } from './contract.ts';
import type { ParameterGroup } from './description.ts';
import { nameMatches } from './names.ts';
import { parseOptions } from './options.ts';
import type { Schedule } from './schedules.ts';

const groupsSchema = z.array(
  z.strictObject({
    match: z.string().min(1),
    lrScale: positive.optional(),
    weightDecay: notNegative.optional(),
    freeze: z.boolean().optional(),
  }),
);
const namesSchema = z.array(z.string().min(1));

/** Validates `groups` and `noDecay` of a description (E_OPTION). */
export function parseGroups(groups: unknown, noDecay: unknown): GroupRules {
  return {
    groups: groups === undefined ? [] : parseOptions(groupsSchema, groups, 'optimizer.groups'),
    noDecay: noDecay === undefined ? [] : parseOptions(namesSchema, noDecay, 'optimizer.noDecay'),
  };
}

export interface GroupRules {
  readonly groups: readonly ParameterGroup[];
  readonly noDecay: readonly string[];
}

/** One group of a model's parameters, ready to run. */
export interface BoundGroup {
  /** Validated options of the optimizer for this group. */
  readonly options: object;
  readonly lrScale: number;
  readonly frozen: boolean;
}

/** An optimizer together with the model that it trains; plain data but for `def`. */
export interface BoundOptimizer {
  readonly def: OptimizerDef;
  readonly schedule: Schedule;
  readonly groups: readonly BoundGroup[];
  /** Index of the group of each tensor. */
  readonly groupOf: readonly number[];
}

/**
 * Fits an optimizer to a model: completes its options and assigns every tensor to a group. Group 0 is that of the tensors that
 * nothing names.
 *
 * @throws E_OPTION for a pattern that matches no parameter, a group that changes what the optimizer does not have, or a model
 * that the optimizer cannot train.
 */
export function bindOptimizer(
  optimizer: {
    readonly def: OptimizerDef;
    readonly options: object;
    readonly schedule: Schedule;
    readonly rules: GroupRules;
  },
  tensors: readonly TensorEntry[],
): BoundOptimizer {
  const { def, schedule, rules } = optimizer;
  const names = tensors.map(({ name }) => name);
  for (const { match } of rules.groups) requireMatch(match, names, 'optimizer.groups');
  for (const pattern of rules.noDecay) requireMatch(pattern, names, 'optimizer.noDecay');

  const ruleOf = (name: string): ParameterGroup | undefined =>
    rules.groups.find(({ match }) => nameMatches(match, name));
  const trained = tensors.filter(({ name }) => ruleOf(name)?.freeze !== true);
  if (trained.length === 0) {
    throw new LockstepError('E_OPTION', {
      where: 'optimizer.groups',
      expected: 'at least one parameter that is not frozen',
      got: `all ${tensors.length} frozen`,
      fix: 'narrow the pattern of the group that freezes',
    });
  }
  const options = def.bind?.(optimizer.options, trained) ?? optimizer.options;
  const groups: BoundGroup[] = [{ options, lrScale: 1, frozen: false }];
  const indices = new Map<string, number>();
  const groupOf = names.map((name) => {
    const rule = ruleOf(name);
    const exempt = rules.noDecay.some((pattern) => nameMatches(pattern, name));
    if (rule === undefined && !exempt) return 0;
    const weightDecay = rule?.weightDecay ?? (exempt ? 0 : undefined);
    const key = `${rule ? rules.groups.indexOf(rule) : ''}/${weightDecay}`;
    const known = indices.get(key);
    if (known !== undefined) return known;
    const lrScale = rule?.lrScale ?? 1;
    if (lrScale !== 1 && def.fullBatch) throw cannot(def, 'lrScale');
    groups.push({
      options: weightDecay === undefined ? options : withWeightDecay(def, options, weightDecay),
      lrScale,
      frozen: rule?.freeze === true,
    });
    indices.set(key, groups.length - 1);
    return groups.length - 1;
  });
  return { def, schedule, groups, groupOf };
}

/** Options with another decay; in wrappers it is that of the optimizer inside. */
function withWeightDecay(def: OptimizerDef, options: object, weightDecay: number): object {
  if ('weightDecay' in options) return { ...options, weightDecay };
  if ('base' in options && typeof options.base === 'object' && options.base !== null) {
    return { ...options, base: withWeightDecay(def, options.base, weightDecay) };
  }
  throw cannot(def, 'weightDecay');
}

function cannot(def: OptimizerDef, option: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: 'optimizer.groups',
    expected: `settings that ${def.kind} has`,
    got: option,
    fix: `remove it: ${def.kind} has no ${option}`,
  });
}

function requireMatch(pattern: string, names: readonly string[], where: string): void {
  if (names.some((name) => nameMatches(pattern, name))) return;
  const guess = closest(pattern, [...names, ...names.map((name) => name.slice(name.lastIndexOf('/') + 1))]);
  throw new LockstepError('E_OPTION', {
    where,
    expected: `a pattern that matches a parameter (${names.slice(0, 8).join(', ')}${names.length > 8 ? ' ...' : ''})`,
    got: `'${pattern}'`,
    fix: guess === undefined ? 'correct the name; * stands for anything' : `did you mean '${guess}'?`,
  });
}
