/** A symbolic tensor: a node of an immutable graph. Shapes are static; axis 0 of data is the rows of one shard. */
export type DType = 'f32' | 'i32';
export type Shape = readonly number[];
/** Plain data only: attributes are hashed and travel to workers. */
export type Attrs = Readonly<Record<string, unknown>>;

export interface Tensor {
  /** Increases with creation, so it is a topological order. Renumbered when compiled. */
  readonly id: number;
  /** Name in the op table (src/graph/ops/table.ts). */
  readonly op: string;
  readonly inputs: readonly Tensor[];
  readonly attrs: Attrs;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Path of the layer that made it, for messages; no part of the program. */
  readonly scope?: string;
}

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const d of shape) size *= d;
  return size;
}
