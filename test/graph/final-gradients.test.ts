import { describe, expect, test } from 'vitest';
import { accumulatingProgram } from '../../src/graph/accumulate.ts';
import { finalGradients } from '../../src/graph/final-gradients.ts';
import type { Program } from '../../src/graph/program.ts';
import { referenceExecutor } from '../../src/testing.ts';
import { fillMlp, MLP_TABLE, mlp } from './models.ts';

/** The flat gradient after some calls of a program that finds ones in it. */
function gradientAfter(program: Program, calls: number): number[] {
  const executor = referenceExecutor({ ...program, calls: program.calls.slice(0, calls) }, MLP_TABLE);
  fillMlp(executor);
  for (const { name } of MLP_TABLE) executor.gradient(name).fill(1);
  executor.run();
  return MLP_TABLE.flatMap(({ name }) => [...executor.gradient(name)]);
}

const [first] = MLP_TABLE;
/** Elements in the test's vector, which has no padding, from an element of the flat one on. */
const withoutPadding = (element: number) =>
  MLP_TABLE.reduce((sum, { offset, size }) => sum + Math.min(size, Math.max(0, element - offset)), 0);

describe.each([
  ['a program', mlp(8)],
  ['one that adds to what is there', accumulatingProgram(mlp(8), MLP_TABLE)],
])('the gradients of %s', (_, program) => {
  const final = finalGradients(program.calls, MLP_TABLE);
  const whole = gradientAfter(program, program.calls.length);

  test('do not change any more behind what is said to be final', () => {
    program.calls.forEach((call, i) => {
      const from = final.get(call);
      if (from === undefined) return;
      const start = withoutPadding(from);
      expect(gradientAfter(program, i + 1).slice(start)).toEqual(whole.slice(start));
    });
  });

  test('are said to be final layer by layer, ever more of them, and all in the end', () => {
    const said = program.calls.flatMap((call) => final.get(call) ?? []);
    expect(said.length).toBeGreaterThanOrEqual(3);
    expect(said).toEqual([...said].sort((a, b) => b - a));
    expect(said.at(-1)).toBe(0);
    expect(said[0]).toBeGreaterThan(first.size); // the last layer comes first
  });

  test('are final no earlier: before the last call they are not', () => {
    const last = program.calls.findLastIndex((call) => final.has(call));
    expect(gradientAfter(program, last)).not.toEqual(whole);
  });
});
