import type { Call } from '../../src/graph/program.ts';
import { BINARY, REDUCE, UNARY, UNARY_GRAD } from '../../src/kernels/table.ts';

/** Words that a call reads and writes, each counted once, from the numbers among its operands; undefined where not known. */
type Words = (sizes: readonly number[]) => number;

const each = (names: readonly string[], words: Words): [string, Words][] => names.map((name) => [name, words]);
const area =
  (factor: number): Words =>
  ([rows, columns]) =>
    factor * rows * columns;

/** The numbers of a call in order: counts and sizes; see src/kernels/table.ts. */
const WORDS: ReadonlyMap<string, Words> = new Map([
  ...each(UNARY, ([count]) => 2 * count),
  ...each(UNARY_GRAD, ([count]) => 3 * count),
  ...each(BINARY, ([outer, inner]) => 3 * outer * inner),
  ...each(REDUCE, ([outer, length, inner]) => outer * inner * (length + 1)),
  ['fill', ([, count]) => count],
  ['copy', ([count]) => 2 * count],
  ['where', ([count]) => 4 * count],
  ['clamp', ([count]) => 2 * count],
  ['biasActivation', area(2)],
  ['softmax', area(2)],
  ['logSoftmax', area(2)],
  ['softmaxGrad', area(3)],
  ['logSoftmaxGrad', area(3)],
  ['softmaxCrossEntropy', area(1)],
  ['softmaxCrossEntropyGrad', area(2)],
  ['gatherRows', area(2)],
  ['scatterAddRows', area(2)],
  ['dropout', ([count]) => 2 * count],
  ['sumF64', ([count]) => count],
  ['dotF64', ([count]) => 2 * count],
]);

/** Numbers among the operands of a call. */
export function sizesOf({ args }: Call): number[] {
  return args.filter((arg) => typeof arg === 'number');
}

/** Bytes that the call moves at least; undefined where the kernel is not listed. */
export function bytesOf(call: Call): number | undefined {
  const words = WORDS.get(call.kernel)?.(sizesOf(call));
  return words === undefined ? undefined : 4 * words;
}

/** Multiply-adds of a matrix product, counted as two. */
export function flopOf(call: Call): number | undefined {
  if (call.kernel !== 'gemm') return undefined;
  const [, , m, n, k] = sizesOf(call);
  return 2 * m * n * k;
}
