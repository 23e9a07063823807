import { accumulatingProgram } from './accumulate.ts';
import type { Call, Operand, Program, Ref, TensorEntry } from './program.ts';

/** Calls in order; those of one piece see one shard's gradients, sums and key. Common work belongs to shard 0. */
export interface GroupPiece {
  readonly shard: number;
  readonly calls: readonly Call[];
}

export interface GroupedProgram {
  readonly pieces: readonly GroupPiece[];
  /** Sums that are known beforehand, for each shard. */
  readonly fixedSums: readonly (readonly FixedSum[])[];
  readonly activationBytes: number;
}

export interface FixedSum {
  /** Place among the sums. */
  readonly index: number;
  readonly value: number;
}

/**
 * Several shards in one pass of a row-local program for all their rows together: larger GEMMs, parameters read once. What adds
 * rows up (gradients, lists of rows, sums, and dropout with its key a shard) is done shard by shard over its own rows, so every shard's
 * gradient and sums have the bits of a pass of their own, provided that the GEMM gives a row the same bits among any
 * number of others (kernels/gemm-bits.ts).
 *
 * @param group compiled for the sum of `shardRows`, with `rowLocal`.
 * @param single programs for each of `shardRows`: sums of constants are taken from there.
 * @param accumulate for each shard, whether its gradient is added to what is there.
 */
export function groupProgram(
  group: Program,
  single: (rows: number) => Program,
  shardRows: readonly number[],
  accumulate: readonly boolean[],
  tensors: readonly TensorEntry[],
): GroupedProgram {
  const fixedSums: FixedSum[][] = shardRows.map(() => []);
  const pieces: { shard: number; calls: Call[] }[] = [];
  const push = (shard: number, calls: readonly Call[]): void => {
    const last = pieces[pieces.length - 1];
    if (last?.shard === shard) last.calls.push(...calls);
    else pieces.push({ shard, calls: [...calls] });
  };
  let activationBytes = group.activationBytes;
  for (const call of group.calls) {
    if (!isEnd(call)) {
      push(0, [call]);
      continue;
    }
    let start = 0;
    for (const [shard, rows] of shardRows.entries()) {
      const part = partOf(call, group.rows, start, rows);
      start += rows;
      if (!part) {
        fixedSums[shard].push(constantSum(call, single(rows)));
        continue;
      }
      const marked = call.opensBackward && shard === 0 ? { ...part, opensBackward: true as const } : part;
      if (!accumulate[shard]) {
        push(shard, [marked]);
        continue;
      }
      const added = accumulatingProgram({ ...group, calls: [marked] }, tensors);
      activationBytes = Math.max(activationBytes, added.activationBytes);
      push(shard, added.calls);
    }
  }
  return { pieces, fixedSums, activationBytes };
}

/** The GEMMs that all rows go through together: [transB, m, n, k] of the group. */
export function commonGemms(group: Program): number[][] {
  return group.calls
    .filter((call) => call.kernel === 'gemm' && !call.bySample && !isEnd(call))
    .map(({ args }) => args.slice(1, 5).map(Number));
}

function isEnd({ kernel, args }: Call): boolean {
  const ends = ['gradients', 'sums', 'rowLists', 'ends'] as const;
  return kernel === 'dropout' || args.some((arg) => ends.some((region) => isIn(arg, region)));
}

function isIn(arg: Operand, region: Ref['region']): arg is Ref {
  return typeof arg !== 'number' && arg.region === region;
}

function isSumOfConstants({ kernel, args }: Call): boolean {
  return kernel === 'sumF64' && isIn(args[1], 'constants');
}

/** `call` over `rows` rows from row `start` on, of `all`; undefined if what it reads has no rows. */
function partOf(call: Call, all: number, start: number, rows: number): Call | undefined {
  const { kernel, args } = call;
  const share = (n: Operand): number => (Number(n) / all) * rows;
  /** Operand whose `count` elements are divided among the rows. */
  const move = (x: Operand, count: Operand): Operand =>
    typeof x === 'number' ? x : { ...x, offset: x.offset + 4 * (Number(count) / all) * start };
  if (!args.some((arg) => isIn(arg, 'activations') || isIn(arg, 'batch')) && !isSumOfConstants(call)) return call; // after the ends
  switch (kernel) {
    case 'gemm': {
      const [transA, transB, m, n, k, a, lda, b, ldb, ...rest] = args;
      const [partA, partB] = [move(a, Number(k) * Number(lda)), move(b, Number(k) * Number(ldb))];
      return { kernel, args: [transA, transB, m, n, share(k), partA, lda, partB, ldb, ...rest] };
    }
    case 'reduceSum': {
      const [out, x, outer, length, inner] = args;
      return { kernel, args: [out, move(x, Number(length) * Number(inner)), outer, share(length), inner] };
    }
    case 'sumF64': {
      const [out, x, count] = args;
      return isSumOfConstants(call) ? undefined : { kernel, args: [out, move(x, count), share(count)] };
    }
    case 'dotF64': {
      const [out, x, weight, count] = args;
      return { kernel, args: [out, move(x, count), move(weight, count), share(count)] };
    }
    case 'normalizeScaleGrad': {
      const [out, x, stats, dy, count, columns] = args;
      const cells = Number(count) * Number(columns);
      return {
        kernel,
        args: [out, move(x, cells), move(stats, 2 * Number(count)), move(dy, cells), share(count), columns],
      };
    }
    case 'scatterAddRows': {
      const [table, dy, ids, count, width, ...rest] = args;
      return {
        kernel,
        args: [table, move(dy, Number(count) * Number(width)), move(ids, count), share(count), width, ...rest],
      };
    }
    case 'listRows': {
      const [to, ids, dy, count, width, ...rest] = args;
      const partDy = move(dy, Number(count) * Number(width));
      return { kernel, args: [to, move(ids, count), partDy, share(count), width, ...rest] };
    }
    case 'dropout': {
      const [out, x, count, ...rest] = args;
      return { kernel, args: [move(out, count), move(x, count), share(count), ...rest] };
    }
    default:
      throw new TypeError(`row groups: ${kernel} ends a row-local program`);
  }
}

/**
 * A sum over constants (a count) depends on the number of rows: its value in the program of one shard. Of two numbers at most (see
 * row-local.ts), so that the order of addition is no question.
 */
function constantSum({ args: [to] }: Call, single: Program): FixedSum {
  const same = single.calls.find(
    ({ args: [other] }) => isIn(other, 'sums') && isIn(to, 'sums') && other.offset === to.offset,
  );
  const [, x, count] = same?.args ?? [];
  if (same?.kernel !== 'sumF64' || !isIn(x, 'constants') || !isIn(to, 'sums') || Number(count) > 2) {
    throw new TypeError('row groups: a sum that one shard does not have');
  }
  const view = new DataView(single.constants.buffer, single.constants.byteOffset + x.offset);
  let value = 0;
  for (let i = 0; i < Number(count); i++) value += view.getFloat32(4 * i, true);
  return { index: to.offset / 8, value };
}
