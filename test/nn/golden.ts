import { expect } from 'vitest';
import type { FieldInfo } from '../../src/data/contract.ts';
import { compileProgram } from '../../src/graph/compile.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import * as ops from '../../src/graph/ops/index.ts';
import type { Shape, Tensor } from '../../src/graph/tensor.ts';
import { type Layer, lambda, type Model, zeros } from '../../src/nn/index.ts';
import { traceModel } from '../../src/nn/trace.ts';
import { referenceExecutor } from '../../src/testing.ts';

/** What scripts/golden/*.py write for a layer. */
export interface GoldenValues {
  readonly output: readonly number[];
  /** By parameter: its sum, and its sum weighted by sin(0.7 i). */
  readonly gradients: Readonly<Record<string, readonly [number, number]>>;
}

export const wave = (count: number, f: (i: number) => number): number[] =>
  Array.from({ length: count }, (_, i) => f(i));

/** Data as a parameter, `name/x`, for its gradient. */
export function given(name: string, shape: Shape): Layer {
  return lambda((_, { parameter }) => parameter('x', shape, zeros()), { name });
}

export interface GoldenRun {
  readonly rows: number;
  readonly fields: readonly FieldInfo[];
  readonly data: Readonly<Record<string, ArrayLike<number>>>;
  readonly model: (inputs: Record<string, Tensor>) => Tensor;
  /** First segment of the parameters' names. */
  readonly kind: string;
  /** Names and numbers of what is given; parameter p has the elements 0.6 sin(1.7 i + p). */
  readonly given: Readonly<Record<string, readonly [name: string, f: (i: number) => number]>>;
}

/** Compares the result and all gradients of the sum of the result times (i mod 7 - 3) / 4, in double precision; gives the result's shape. */
export function expectGolden(run: GoldenRun, { output, gradients }: GoldenValues): Shape {
  const { rows, fields, data } = run;
  const traced = traceModel(run.model as Model, fields, rows, { training: true });
  const { entries } = layoutTensors(traced.parameters);
  const y = traced.outputs.output;
  const weight = wave(output.length, (i) => ((i % 7) - 3) / 4);
  const program = compileProgram({
    rows,
    fields,
    tensors: entries,
    outputs: { y },
    loss: { value: y, weight: ops.constant(weight, y.shape) },
    gradients: true,
  });
  const executor = referenceExecutor(program, entries);
  for (const [name, values] of Object.entries(data)) executor.field(name)?.set(values);
  const names = Object.keys(gradients).map((name) => run.given[name]?.[0] ?? `${run.kind}/${name}`);
  expect(entries.map((entry) => entry.name).sort()).toEqual([...names].sort());
  for (const [p, name] of Object.keys(gradients).entries()) {
    const target = executor.parameter(names[p]);
    target.set(wave(target.length, run.given[name]?.[1] ?? ((i) => 0.6 * Math.sin(1.7 * i + p))));
  }
  executor.run();
  const got = executor.output('y').data;
  expect(got.length).toBe(output.length);
  for (const [i, value] of output.entries()) expect(got[i]).toBeCloseTo(value, 11);
  for (const [p, [plain, weighted]] of Object.values(gradients).entries()) {
    const gradient = Array.from(executor.gradient(names[p]));
    const sum = (f: (i: number) => number): number => gradient.reduce((total, g, i) => total + g * f(i), 0);
    expect(sum(() => 1), names[p]).toBeCloseTo(plain, 10); // biome-ignore format: short
    expect(sum((i) => Math.sin(0.7 * i)), names[p]).toBeCloseTo(weighted, 10); // biome-ignore format: short
  }
  return y.shape;
}
