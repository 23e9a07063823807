import { WORTH_IT } from '../../cluster/upload.ts';
import { finalGradients } from '../graph/final-gradients.ts';
import type { Call, TensorEntry } from '../graph/program.ts';

/** Of a flat gradient what is final, and may be sent, before its last shards are computed. Of one process: it sends what is final in all its workers. */
export interface EarlyUploads {
  /** From the end of the vector on, ever more. */
  readonly finals: readonly FinalPart[];
  /** Shards that a worker computes at once at the end, if it has 0, 1, 2 ... of them; 0: nothing is final until the end. */
  readonly lastTogether: readonly number[];
}

export interface FinalPart {
  readonly fromBytes: number;
  /** Share of the backward pass, or of all computing of the last shards, after which it is so. */
  readonly share: number;
}

/** By the order of the calls of a shard's program; a call takes as long as its matrix products. */
export function finalParts(calls: readonly Call[], tensors: readonly TensorEntry[]): FinalPart[] {
  const backward = calls.slice(calls.findIndex(({ opensBackward }) => opensBackward));
  const all = backward.reduce((sum, call) => sum + flopsOf(call), 0);
  const finals = finalGradients(calls, tensors);
  const parts: FinalPart[] = [];
  let passed = 0;
  let sent = 4 * tensors.reduce((end, { offset, size, sparse }) => (sparse ? end : Math.max(end, offset + size)), 0);
  for (const call of backward) {
    passed += flopsOf(call);
    const fromBytes = 4 * (finals.get(call) ?? Number.POSITIVE_INFINITY);
    if (fromBytes === 0 || sent - fromBytes < WORTH_IT) continue; // the beginning goes with the end of the pass
    parts.push({ fromBytes, share: all === 0 ? 1 : passed / all });
    sent = fromBytes;
  }
  return parts;
}

function flopsOf({ kernel, args }: Call): number {
  const [m, n, k] = args.slice(2, 5).map(Number);
  return kernel === 'gemm' ? 2 * m * n * k : 0;
}

/** How long each worker computes until each part is final, one after the other, and then until it is done. */
export function untilFinal(
  { finals, lastTogether }: EarlyUploads,
  workersMs: readonly number[],
  shards: readonly number[],
): number[][] | undefined {
  const busy = shards.filter((count) => count > 0);
  if (finals.length === 0 || busy.some((count) => (lastTogether[count] ?? 0) === 0)) return undefined;
  return workersMs.map((ms, i) => {
    const last = shards[i] === 0 ? 0 : (ms * lastTogether[shards[i]]) / shards[i];
    const at = [...finals.map(({ share }) => ms - last * (1 - share)), ms];
    return at.map((end, j) => end - (at[j - 1] ?? 0));
  });
}
