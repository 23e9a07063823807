/** Which model output and which field a loss or a metric compares, and in which shape. */
import { LockstepError } from '../errors.ts';
import { showShape } from '../graph/build.ts';
import { cast } from '../graph/ops/cast.ts';
import { reshape } from '../graph/ops/shape.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { Inputs, Outputs } from './contract.ts';
import { unknownName } from './named.ts';

/** What losses and metrics compare; both have defaults that fit a model of one output and data with a field y. */
export interface Selection {
  /** Name of the model output. Default: the only one, or the one called `output`. */
  readonly output?: string;
  /** Name of the field. Default: `y`. */
  readonly target?: string;
}

export interface Selected {
  readonly outputName: string;
  readonly output: Tensor;
  readonly targetName: string;
  readonly target: Tensor;
}

/** The two tensors. Throws E_LOSS for names that do not exist or must be given. */
export function select(where: string, outputs: Outputs, fields: Inputs, selection: Selection): Selected {
  const outputName = selection.output ?? defaultOutput(where, outputs);
  if (!Object.hasOwn(outputs, outputName)) {
    throw unknownName('E_LOSS', where, 'model output', outputName, Object.keys(outputs));
  }
  const { target: targetName = 'y' } = selection;
  if (!Object.hasOwn(fields, targetName)) {
    const fix = selection.target === undefined ? `name the field: ${where}({ target: '...' })` : undefined;
    throw unknownName('E_LOSS', where, 'field', targetName, Object.keys(fields), fix);
  }
  return { outputName, output: outputs[outputName], targetName, target: fields[targetName] };
}

/**
 * Field `name` as a weight for each element of `like`: 0 where there is padding, 1 where there is none. Throws E_LOSS for a field that
 * does not exist, E_SHAPE unless it has a number for each element (axes of length 1 aside).
 */
export function maskOf(where: string, fields: Inputs, name: string, like: Tensor): Tensor {
  if (!Object.hasOwn(fields, name)) throw unknownName('E_LOSS', where, 'field', name, Object.keys(fields));
  const mask = fields[name];
  if (showShape(squeezed(mask)) === showShape(squeezed(like))) return reshape(cast(mask), like.shape);
  throw new LockstepError('E_SHAPE', {
    where: `${where}: mask`,
    expected: `field '${name}' with a number for each label, ${showRowShape(like)}`,
    got: showRowShape(mask),
    fix: 'give 1 for each label that counts and 0 for padding',
  });
}

function defaultOutput(where: string, outputs: Outputs): string {
  const names = Object.keys(outputs);
  if (names.length === 1) return names[0];
  if (names.includes('output')) return 'output';
  throw new LockstepError('E_LOSS', {
    where,
    expected: 'the name of one model output',
    got: `a model with the outputs ${names.join(', ')}`,
    fix: `choose one: ${where}({ output: '${names[0]}' })`,
  });
}

/**
 * Output and target as f32 tensors of one shape. They may differ by axes of length 1 after the rows ([n, 1] and [n]); whatever
 * else would broadcast without a word is E_SHAPE.
 */
export function samePair(where: string, selected: Selected): { prediction: Tensor; target: Tensor } {
  const { output, target, outputName, targetName } = selected;
  if (!sameElements(selected)) {
    throw new LockstepError('E_SHAPE', {
      where,
      expected: `output '${outputName}' in the shape of field '${targetName}', ${showRowShape(target)}`,
      got: showRowShape(output),
      fix: 'make the last layer as wide as the target',
    });
  }
  return { prediction: reshape(output, target.shape), target: cast(target) };
}

/** Whether output and target differ at most by axes of length 1 after the rows: one number for each target. */
export function sameElements({ output, target }: Selected): boolean {
  return showShape(squeezed(output)) === showShape(squeezed(target));
}

function squeezed({ shape }: Tensor): readonly number[] {
  return [...shape.slice(0, 1), ...shape.slice(1).filter((size) => size !== 1)];
}

/** A shape with its rows as the letter n: messages must not depend on the size of a shard. */
export function showRowShape({ shape }: Tensor): string {
  return shape.length === 0 ? '[]' : `[${['n', ...shape.slice(1)].join(', ')}]`;
}
