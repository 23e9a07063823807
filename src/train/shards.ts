import type { Program, Ref } from '../graph/program.ts';

/** Fewest rows of the narrowest parameter GEMM in a shard: below, packing costs more than multiplying. */
export const MIN_SHARD_ROWS = 64;
export const MAX_DEFAULT_SHARDS = 16;

/**
 * S, a pure function of the job: the largest power of two up to 16 that leaves every shard at least 64 rows in the
 * model's narrowest parameter GEMM, then doubled (past 16 too) until a shard's activations fit `activationBudget`.
 */
export function defaultShards(
  batchSize: number,
  rowsPerSample: number,
  activationBytes: (rows: number) => number,
  activationBudget: number,
): number {
  let shards = 1;
  while (2 * shards <= MAX_DEFAULT_SHARDS && Math.floor(batchSize / (2 * shards)) * rowsPerSample >= MIN_SHARD_ROWS) {
    shards *= 2;
  }
  while (shards < batchSize && activationBytes(Math.ceil(batchSize / shards)) > activationBudget) shards *= 2;
  return shards;
}

/** The smallest batch whose default S is at least `shards`; undefined where no batch makes so many by itself. */
export function batchFor(shards: number, rowsPerSample: number): number | undefined {
  const power = 2 ** Math.ceil(Math.log2(shards));
  if (power > MAX_DEFAULT_SHARDS) return undefined;
  return power * Math.ceil(MIN_SHARD_ROWS / rowsPerSample);
}

/** Rows a sample brings to the narrowest GEMM with parameters: 1 for dense layers on vectors, more where positions are multiplied at once. */
export function rowsPerSample(program: Program): number {
  let narrowest = Number.POSITIVE_INFINITY;
  for (const { kernel, args } of program.calls) {
    if (kernel !== 'gemm') continue;
    const [, , m, n, , a, , b] = args;
    if (isParameter(b)) narrowest = Math.min(narrowest, Number(m));
    else if (isParameter(a)) narrowest = Math.min(narrowest, Number(n));
  }
  return Number.isFinite(narrowest) ? Math.max(1, Math.floor(narrowest / program.rows)) : 1;
}

function isParameter(operand: number | Ref): boolean {
  return typeof operand !== 'number' && operand.region === 'parameters';
}
