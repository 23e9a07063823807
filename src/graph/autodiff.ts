import { showShape } from './build.ts';
import { add } from './ops/binary.ts';
import { constant } from './ops/leaf.ts';
import { broadcastTo } from './ops/shape.ts';
import { opOf } from './ops/table.ts';
import type { Tensor } from './tensor.ts';

/** Every tensor that `roots` depend on, inputs before users, in order of creation. */
export function topologicalOrder(roots: readonly Tensor[]): Tensor[] {
  const seen = new Set<Tensor>(roots);
  // A Set visits what is added while it is walked.
  for (const node of seen) for (const x of node.inputs) seen.add(x);
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * Reverse-mode differentiation: the gradients of sum(value * weight) with respect to `sources`, as further tensors;
 * undefined where none flows. `weight` (default 1) broadcasts to value and counts as a constant.
 */
export function gradients(
  value: Tensor,
  weight: Tensor | undefined,
  sources: readonly Tensor[],
): (Tensor | undefined)[] {
  const order = topologicalOrder([value]);
  const reached = new Set<Tensor>(sources);
  for (const node of order) {
    if (opOf(node.op).gradient !== undefined && node.inputs.some((x) => reached.has(x))) reached.add(node);
  }
  const upstream = new Map<Tensor, Tensor>();
  if (reached.has(value)) {
    upstream.set(value, weight === undefined ? constant(1, value.shape) : broadcastTo(weight, value.shape));
  }
  for (const node of order.reverse()) {
    const up = upstream.get(node);
    const { gradient } = opOf(node.op);
    if (up === undefined || gradient === undefined) continue;
    for (const [i, g] of gradient(node, up, gradients).entries()) {
      const x = node.inputs[i];
      if (g === undefined || !reached.has(x)) continue;
      if (showShape(g.shape) !== showShape(x.shape)) {
        throw new TypeError(`gradient of ${node.op} has shape ${showShape(g.shape)}, its input ${showShape(x.shape)}`);
      }
      const before = upstream.get(x);
      upstream.set(x, before === undefined ? g : add(before, g));
    }
  }
  return sources.map((x) => upstream.get(x));
}
