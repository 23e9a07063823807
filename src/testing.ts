import { LockstepError } from './errors.ts';
import { compileProgram, type WeightedTensor } from './graph/compile.ts';
import { createExecutor, type Executor, type ExecutorMemory, executorBytes } from './graph/execute.ts';
import { layoutTensors } from './graph/layout.ts';
import { input, parameter } from './graph/ops/leaf.ts';
import type { Program, TensorEntry } from './graph/program.ts';
import type { Shape, Tensor } from './graph/tensor.ts';
import { sizeOf } from './graph/tensor.ts';
import { philox4x32, referenceHeap, referenceKernels } from './kernels/reference.ts';

/** `lockstep/testing`: checks for models, losses, ops and optimizers of your own. */
export { runOptimizer } from './optim/run.ts';
export { verifyOptimizer } from './optim/verify.ts';

/** Memory for an executor on the reference kernels, in double precision unless said otherwise. */
export function referenceMemory(bytes: number, precision: 'f32' | 'f64' = 'f64'): ExecutorMemory {
  const heap = referenceHeap(bytes + 64, precision);
  return { ...heap, kernels: referenceKernels(heap), base: 64 };
}

/** A program on the reference kernels: slow, obvious, and in double precision unless said otherwise. */
export function referenceExecutor(
  program: Program,
  tensors: readonly TensorEntry[],
  precision: 'f32' | 'f64' = 'f64',
): Executor {
  return createExecutor(program, tensors, referenceMemory(executorBytes(program, tensors, 0), precision));
}

/** Numbers for one tensor: given, or random in [low, high) (default [-1, 1)). */
export interface Numbers {
  /** With the rows as axis 0 for inputs. */
  readonly shape: Shape;
  readonly values?: ArrayLike<number>;
  readonly low?: number;
  readonly high?: number;
}

/** An input of a check: f32, or i32 in [0, size). */
export type InputNumbers = (Numbers & { readonly dtype?: 'f32' }) | (Numbers & { dtype: 'i32'; size: number });

export interface GradCheckOptions {
  /** What is differentiated, by name. */
  readonly parameters: Readonly<Record<string, Numbers>>;
  /** What is not. All have the same number of rows. */
  readonly inputs?: Readonly<Record<string, InputNumbers>>;
  /** Of the random numbers. Default 1. */
  readonly seed?: number;
  /** Largest |analytic - numeric| / max(1, |analytic|, |numeric|). Default 1e-6. */
  readonly tolerance?: number;
  /** Half the distance of the central difference, relative to max(1, |x|). Default 1e-5. */
  readonly step?: number;
}

/** The element where the two gradients differ most. */
export interface GradCheckResult {
  readonly tensor: string;
  readonly element: number;
  readonly analytic: number;
  readonly numeric: number;
  readonly error: number;
}

/**
 * Compares the gradient of sum(value * weight) with central finite differences, in double precision on the reference kernels.
 * Returns the worst element; throws E_GRADIENT, naming it, when that is beyond the tolerance.
 */
export function gradCheck(
  build: (parameters: Record<string, Tensor>, inputs: Record<string, Tensor>) => WeightedTensor,
  options: GradCheckOptions,
): GradCheckResult {
  const { inputs = {}, tolerance = 1e-6, step = 1e-5, seed = 1 } = options;
  const { executor, forward } = checkedExecutors(build, options);
  const random = uniformStream(seed);
  for (const [name, numbers] of Object.entries(inputs)) {
    const values = draw(numbers, random);
    for (const either of [executor, forward]) either.field(name)?.set(values);
  }
  for (const [name, numbers] of Object.entries(options.parameters)) {
    const values = draw(numbers, random);
    for (const either of [executor, forward]) either.parameter(name).set(values);
  }
  executor.run();
  const analytic = new Map(Object.keys(options.parameters).map((name) => [name, executor.gradient(name).slice()]));
  let worst: GradCheckResult = { tensor: '', element: 0, analytic: 0, numeric: 0, error: -1 };
  for (const [tensor, gradient] of analytic) {
    const values = forward.parameter(tensor);
    for (const [element, expected] of gradient.entries()) {
      const x = values[element];
      const h = step * Math.max(1, Math.abs(x));
      const lossAt = (value: number): number => {
        values[element] = value;
        forward.run();
        return forward.sum('loss');
      };
      const numeric = (lossAt(x + h) - lossAt(x - h)) / (x + h - (x - h));
      values[element] = x;
      const difference = Math.abs(expected - numeric) / Math.max(1, Math.abs(expected), Math.abs(numeric));
      const error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
      if (error > worst.error) worst = { tensor, element, analytic: expected, numeric, error };
    }
  }
  if (worst.error > tolerance) {
    throw new LockstepError('E_GRADIENT', {
      where: `gradCheck: ${worst.tensor}[${worst.element}]`,
      expected: `${worst.numeric} by finite differences`,
      got: `${worst.analytic} by automatic differentiation (error ${worst.error.toExponential(1)})`,
      fix: 'correct the gradient rule, or move the numbers away from a kink of the function',
    });
  }
  return worst;
}

/** What computes loss and gradient, and what computes the loss alone, which is wanted twice for every element. */
function checkedExecutors(
  build: (parameters: Record<string, Tensor>, inputs: Record<string, Tensor>) => WeightedTensor,
  options: GradCheckOptions,
): { executor: Executor; forward: Executor } {
  const parameters = Object.entries(options.parameters);
  const inputs = Object.entries(options.inputs ?? {});
  const dtypeOf = (numbers: InputNumbers): 'f32' | 'i32' => numbers.dtype ?? 'f32';
  const loss = build(
    Object.fromEntries(parameters.map(([name, { shape }]) => [name, parameter(name, shape)])),
    Object.fromEntries(inputs.map(([name, n]) => [name, input(name, n.shape, dtypeOf(n))])),
  );
  const { entries } = layoutTensors(
    parameters.map(([name, { shape }]) => ({ name, shape, init: { kind: 'constant', value: 0 } })),
  );
  const execute = (gradients: boolean) => {
    const program = compileProgram({
      rows: inputs[0]?.[1].shape[0] ?? 1,
      fields: inputs.map(([name, n]) => ({ name, dtype: dtypeOf(n), shape: n.shape.slice(1) })),
      tensors: entries,
      outputs: {},
      loss,
      gradients,
      training: true,
    });
    return referenceExecutor(program, entries);
  };
  return { executor: execute(true), forward: execute(false) };
}

/** Uniform numbers in [0, 1) by Philox. */
function uniformStream(seed: number): () => number {
  const words = new Uint32Array(4);
  let next = 0;
  return () => {
    philox4x32(words, next++, 0, 0, 0, seed, 0);
    return (words[0] >>> 8) / 2 ** 24;
  };
}

function draw(numbers: InputNumbers, random: () => number): ArrayLike<number> {
  if (numbers.values !== undefined) return numbers.values;
  const count = sizeOf(numbers.shape);
  if (numbers.dtype === 'i32') return Array.from({ length: count }, () => Math.floor(random() * numbers.size));
  const { low = -1, high = 1 } = numbers;
  return Array.from({ length: count }, () => low + (high - low) * random());
}
