import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { Driver, FloatArray, OptimizerDef, StepInfo, View } from './contract.ts';

/** The loss at `params`; writes its gradient into `grad` where one is given. */
export type Objective = (params: FloatArray, grad?: FloatArray) => number;

export interface OptimizerRun {
  /** The flat vector that is trained, in place. */
  readonly params: FloatArray;
  /** State by tensor, in the order of the tensors; numbers beside it. */
  readonly views: readonly View[];
  readonly state: Readonly<Record<string, number>>;
  /** One update; gives the loss before it (the first one computed, for drivers). */
  step(objective: Objective, lr: number, gradScale?: number): number;
  /** Parameters to evaluate with: those trained, unless the optimizer says otherwise. */
  evalParameters(): FloatArray;
}

/**
 * The optimizer contract carried out plainly, in one thread, without memory tricks: the oracle of the parallel step and of the
 * fused kernels, and a bench for new definitions. Elements have the type of `params` (f64 for golden values).
 *
 * @param options parsed options, as `def.options.parse` gives them.
 * @param blockSize largest view of an elementwise optimizer; results do not depend on it.
 */
export function runOptimizer<H extends object>(
  def: OptimizerDef<H>,
  options: H,
  tensors: readonly TensorEntry[],
  params: FloatArray,
  blockSize = 16 * 1024,
): OptimizerRun {
  const floats = (size: number): FloatArray =>
    params instanceof Float64Array ? new Float64Array(size) : new Float32Array(size);
  const grad = floats(params.length);
  const views = tensors.flatMap((tensor) => viewsOf(def, options, tensor, params, grad, blockSize, floats));
  const state = { ...def.state };
  const scalars = new Float64Array(def.scalarNames.length);
  let updates = 0;

  const sum = (partial: (view: View, out: Float64Array) => void, out: Float64Array): void => {
    const one = new Float64Array(out.length);
    out.fill(0);
    for (const view of views) {
      one.fill(0);
      partial(view, one);
      for (let i = 0; i < out.length; i++) out[i] += one[i];
    }
  };
  const apply = (info: StepInfo<H>): void => {
    const sums = new Float64Array(def.measures ?? 0);
    sum((view, out) => def.measure?.(view, out, info, state), sums);
    def.scalars(info, scalars, state, sums);
    for (const view of views) def.update(view, scalars, options);
  };

  return {
    params,
    views,
    state,
    step(objective, lr, gradScale = 1) {
      updates++;
      const info: StepInfo<H> = { step: updates, lr, gradScale, options };
      if (def.drive === undefined) {
        const loss = objective(params, grad);
        apply(info);
        return loss;
      }
      let first: number | undefined;
      const driver: Driver<H> = {
        info,
        state,
        views,
        gradient() {
          const loss = objective(params, grad);
          for (let i = 0; i < grad.length; i++) grad[i] *= gradScale;
          first ??= loss;
          return loss;
        },
        evaluate: () => objective(params),
        sum,
        apply: () => apply({ ...info, gradScale: 1 }),
      };
      def.drive(driver);
      return first ?? Number.NaN;
    },
    evalParameters() {
      const out = params.slice();
      if (def.evalParameters === undefined) return out;
      for (const view of views) {
        const at = (view.param.byteOffset - params.byteOffset) / params.BYTES_PER_ELEMENT;
        def.evalParameters(view, out.subarray(at, at + view.param.length), options);
      }
      return out;
    },
  };
}

/** A tensor cut into blocks where the optimizer works by element; otherwise one view of all of it, with its scratch. */
function viewsOf<H extends object>(
  def: OptimizerDef<H>,
  options: H,
  tensor: TensorEntry,
  params: FloatArray,
  grad: FloatArray,
  blockSize: number,
  floats: (size: number) => FloatArray,
): View[] {
  const slots = Object.entries(def.slots(options, tensor)).map(([name, { init = 0, shape }]) => {
    const values = floats(shape === undefined ? tensor.size : sizeOf(shape)).fill(init);
    return [name, values] as const;
  });
  const length = def.unit === 'tensor' ? tensor.size : blockSize;
  const scratch = def.scratch && floats(def.scratch(tensor, options));
  const views: View[] = [];
  for (let from = 0; from < tensor.size; from += length) {
    const to = Math.min(from + length, tensor.size);
    const cut = (values: FloatArray): FloatArray => (def.unit === 'tensor' ? values : values.subarray(from, to));
    views.push({
      param: params.subarray(tensor.offset + from, tensor.offset + to),
      grad: grad.subarray(tensor.offset + from, tensor.offset + to),
      slots: Object.fromEntries(slots.map(([name, values]) => [name, cut(values)])),
      tensor,
      ...(scratch && { scratch }),
    });
  }
  return views;
}
