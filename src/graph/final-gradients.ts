import type { Call, TensorEntry } from './program.ts';

/**
 * From when on gradients are final while a program still runs: for each call after which more of the flat gradient is, the element from
 * which on all of it is. The backward pass comes to the first layers last, and they lie first, so what is final grows from the end.
 * Pure. `calls` are those that write one flat gradient, in their order.
 */
export function finalGradients(calls: readonly Call[], tensors: readonly TensorEntry[]): ReadonlyMap<Call, number> {
  const dense = tensors.filter(({ sparse }) => !sparse);
  const lastWriter = dense.map((tensor) => calls.findLastIndex((call) => touches(call, tensor)));
  const from = (after: number): number =>
    dense.reduce((end, { offset, size }, i) => (lastWriter[i] > after ? Math.max(end, offset + size) : end), 0);
  const found = new Map<Call, number>();
  let before = from(-1);
  for (const index of [...new Set(lastWriter)].sort((a, b) => a - b)) {
    if (index < 0) continue; // a tensor without a gradient is final from the beginning
    const now = from(index);
    if (now < before) found.set(calls[index], now);
    before = now;
  }
  return found;
}

function touches({ args }: Call, { offset, size }: TensorEntry): boolean {
  return args.some((arg) => {
    if (typeof arg === 'number' || arg.region !== 'gradients') return false;
    const element = arg.offset / 4 - offset;
    return element >= 0 && element < size;
  });
}
