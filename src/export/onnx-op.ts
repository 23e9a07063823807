import type { Tensor } from '../graph/tensor.ts';
import { cannotExport, type OnnxGraph } from './onnx-graph.ts';
import type { Dim } from './onnx-proto.ts';

/** A node of the model's graph, as it is at two lengths of the batch: what differs grows with the rows. */
export interface Site {
  readonly node: Tensor;
  readonly twin: Tensor;
  /** Rows of `node` and of `twin`. */
  readonly rows: readonly [number, number];
  /** Sizes of the result. */
  readonly shape: readonly Dim[];
  /** Name of input i; written when it is first asked for. */
  input(i: number): string;
  /** Input i as a site of its own: fused ops look through what feeds them. */
  from(i: number): Site;
}

/** Writes a node and gives the name of its result. */
export type Lower = (site: Site, g: OnnxGraph) => string;

/** A number of the node and of its twin as a size. @throws E_EXPORT where it depends on the rows in another way. */
export function dimOf({ node, rows }: Pick<Site, 'node' | 'rows'>, a: number, b: number): Dim {
  if (a === b) return a;
  if (a / rows[0] === b / rows[1] && Number.isInteger(a / rows[0])) return { perRow: a / rows[0] };
  throw cannotExport(
    `op ${node.op}${node.scope ? ` in ${node.scope}` : ''}`,
    'sizes that are fixed or a multiple of the rows',
    `${a} at ${rows[0]} rows, ${b} at ${rows[1]}`,
    'write the model so that each row is computed by itself',
  );
}

/** Sizes from equal places of two lists. */
export function dimsOf(site: Pick<Site, 'node' | 'rows'>, a: readonly number[], b: readonly number[]): Dim[] {
  return a.map((size, i) => dimOf(site, size, b[i]));
}

/** Sizes of input i that do not grow with the rows. */
export function fixed(dim: Dim, { node }: Pick<Site, 'node'>): number {
  if (typeof dim === 'number') return dim;
  throw cannotExport(`op ${node.op}`, 'a fixed size', 'one that grows with the rows', 'keep rows along axis 0 alone');
}
