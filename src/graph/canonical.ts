import { topologicalOrder } from './autodiff.ts';
import { opOf } from './ops/table.ts';
import type { Tensor } from './tensor.ts';

export interface CanonicalOptions {
  /** Dropout acts; otherwise it is replaced by its input. */
  readonly training: boolean;
}

/**
 * The same graph with equal expressions merged, dropouts numbered, and ids counted from 0 in order of creation, so that a model
 * gives the same data whatever was built before it. Returns the new tensor of each old one.
 */
export function canonicalise(roots: readonly Tensor[], options: CanonicalOptions): Map<Tensor, Tensor> {
  const merged = new Map<string, Tensor>();
  const renamed = new Map<Tensor, Tensor>();
  const salts = new Map<unknown, number>();
  for (const node of topologicalOrder(roots)) {
    const inputs = node.inputs.map((x) => renamed.get(x) ?? x);
    if (node.op === 'dropout' && !options.training) {
      renamed.set(node, inputs[0]);
      continue;
    }
    // Two dropouts of one tensor are two masks: the salt keeps them apart, and gradients carry that of their forward op.
    const attrs = node.op === 'dropout' ? { ...node.attrs, salt: saltOf(node.attrs.salt, salts) } : node.attrs;
    const key = `${node.op}(${inputs.map((x) => x.id).join()})${canonicalText(attrs)}`;
    let known = merged.get(key);
    if (known === undefined) {
      const { shape, dtype } = opOf(node.op).infer(inputs, attrs);
      known = { id: merged.size, op: node.op, inputs, attrs, shape, dtype, scope: node.scope };
      merged.set(key, known);
    }
    renamed.set(node, known);
  }
  return renamed;
}

/** Salts are numbered from 0 in order of appearance. */
function saltOf(salt: unknown, known: Map<unknown, number>): number {
  const number = known.get(salt) ?? known.size;
  known.set(salt, number);
  return number;
}

/** JSON with sorted keys that also tells NaN, the infinities and -0 apart. */
export function canonicalText(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (Array.isArray(value)) return `[${value.map(canonicalText).join()}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    entries.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, v]) => `${JSON.stringify(key)}:${canonicalText(v)}`).join()}}`;
  }
  return JSON.stringify(value) ?? 'null';
}
