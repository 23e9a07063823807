import type { Call } from '../../src/graph/program.ts';
import { BINARY, REDUCE, UNARY, UNARY_GRAD } from '../../src/kernels/table.ts';

/** Words that a call reads and writes, each counted once, from the numbers among its operands; undefined where not known. */
type Words = (sizes: readonly number[]) => number;

const each = (names: readonly string[], words: Words): [string, Words][] => names.map((name) => [name, words]);
const area =
  (factor: number): Words =>
  ([rows, columns]) =>
    factor * rows * columns;

/** Queries that see one key more than the one before, or all keys. */
const scores: Words = ([batch, heads, queries, keys, , causal]) =>
  batch * heads * queries * (causal === 1 ? (keys + 1) / 2 : keys);

/** Numbers of one state, [rows, hidden]; operands that are absent are zeros among the sizes. */
const state: Words = (sizes) => {
  const [rows, hidden] = sizes.filter((n) => n !== 0);
  return rows * hidden;
};

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
  ['normStats', area(1)],
  ['normalize', area(2)],
  ['normalizeGrad', area(3)],
  ['normalizeScaleGrad', area(2)],
  ['attentionSoftmax', (sizes) => 2 * scores(sizes)],
  ['attentionSoftmaxGrad', (sizes) => 3 * scores(sizes)],
  // States h, c, tanhC and their predecessors, and four (three, one) gates that are read and written.
  ['rnnStep', (sizes) => 3 * state(sizes)],
  ['rnnStepGrad', (sizes) => 4 * state(sizes)],
  ['lstmStep', (sizes) => 13 * state(sizes)],
  ['lstmStepGrad', (sizes) => 14 * state(sizes)],
  ['gruStep', (sizes) => 14 * state(sizes)],
  ['gruStepGrad', (sizes) => 16 * state(sizes)],
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
