import type { Ref } from './program.ts';
import type { Tensor } from './tensor.ts';

/** One entry of the schedule: an op, or work beside the graph that reads tensors. Its index is the time. */
export type Item =
  | { readonly kind: 'op'; readonly node: Tensor }
  | { readonly kind: 'sum'; readonly value: Tensor; readonly weight: Tensor | undefined; readonly to: Ref }
  | { readonly kind: 'copy'; readonly source: Tensor; readonly to: Ref }
  | {
      readonly kind: 'rows';
      readonly ids: Tensor;
      readonly gradient: Tensor;
      readonly tableRows: number;
      readonly to: Ref;
    };
