import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { Driver, FloatArray, OptimizerDef, StepInfo, View } from './contract.ts';
import { standardNormal } from './normal.ts';
import { plainGemm } from './product.ts';

/** The loss at `params`; writes its gradient into `grad` where one is given. */
export type Objective = (params: FloatArray, grad?: FloatArray) => number;

/** Everything that a run consists of between two updates. */
export interface OptimizerSnapshot {
  readonly updates: number;
  readonly params: FloatArray;
  /** By tensor, then by name. */
  readonly slots: readonly Readonly<Record<string, FloatArray>>[];
  readonly state: Readonly<Record<string, number>>;
}

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
  /** A copy of everything; `load` goes on from there, to the bit. */
  save(): OptimizerSnapshot;
  load(snapshot: OptimizerSnapshot): void;
}

/**
 * The optimizer contract carried out plainly, in one thread, without memory tricks: the oracle of the parallel step and of the
 * fused kernels, and a bench for new definitions. Elements have the type of `params` (f64 for golden values).
 *
 * @param options parsed options, as `def.options.parse` gives them.
 * @param blockSize largest view of an elementwise optimizer; results do not depend on it.
 * @param noiseKey two words that random numbers follow from.
 */
export function runOptimizer<H extends object>(
  def: OptimizerDef<H>,
  options: H,
  tensors: readonly TensorEntry[],
  params: FloatArray,
  blockSize = 16 * 1024,
  noiseKey: ArrayLike<number> = [0, 0],
): OptimizerRun {
  const bound = def.bind?.(options, tensors) ?? options;
  const floats = (size: number): FloatArray =>
    params instanceof Float64Array ? new Float64Array(size) : new Float32Array(size);
  const grad = floats(params.length);
  const slots = tensors.map((tensor) => slotsOf(def, bound, tensor, params, floats));
  const views = tensors.flatMap((tensor, index) => {
    const length = def.unit === 'tensor' ? tensor.size : blockSize;
    const scratchSize = def.scratch?.(tensor, bound) ?? 0;
    const scratch = scratchSize > 0 ? { scratch: floats(scratchSize) } : {};
    return Array.from({ length: Math.ceil(tensor.size / length) }, (_, k): View => {
      const first = k * length;
      const [from, to] = [tensor.offset + first, tensor.offset + Math.min(first + length, tensor.size)];
      const cut = (values: FloatArray): FloatArray =>
        def.unit === 'tensor' ? values : values.subarray(first, first + to - from);
      return {
        param: params.subarray(from, to),
        grad: grad.subarray(from, to),
        slots: Object.fromEntries(Object.entries(slots[index]).map(([name, values]) => [name, cut(values)])),
        tensor,
        first,
        ...scratch,
        normal: (out, step) => standardNormal(out, noiseKey, index, step, first),
        gemm: plainGemm,
      };
    });
  });
  const seen = def.transform ? views.map((view): View => ({ ...view, grad: floats(view.grad.length) })) : views;
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
    views.forEach((view, i) => {
      def.transform?.(view, seen[i].grad, scalars, info);
      def.update(seen[i], scalars, bound);
      def.after?.(seen[i], scalars, bound);
    });
  };

  return {
    params,
    views,
    state,
    step(objective, lr, gradScale = 1) {
      updates++;
      const info: StepInfo<H> = { step: updates, lr, gradScale, weight: 1, options: bound };
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
          return Number.isFinite(loss) && grad.every(Number.isFinite) ? loss : Number.NaN;
        },
        evaluate: () => objective(params),
        sum,
        max: (of) => views.reduce((most, view) => Math.max(most, of(view)), Number.NEGATIVE_INFINITY),
        apply: () => apply({ ...info, gradScale: 1 }),
      };
      if (def.drive(driver) === 'stop') throw new RangeError(`${def.kind}: loss or gradient is not finite`);
      return first ?? Number.NaN;
    },
    evalParameters() {
      const out = params.slice();
      if (def.evalParameters === undefined) return out;
      for (const view of views) {
        const at = view.tensor.offset + view.first;
        def.evalParameters(view, out.subarray(at, at + view.param.length), bound, state);
      }
      return out;
    },
    save: () => ({
      updates,
      params: params.slice(),
      slots: slots.map((own) =>
        Object.fromEntries(Object.entries(own).map(([name, values]) => [name, values.slice()])),
      ),
      state: { ...state },
    }),
    load(snapshot) {
      updates = snapshot.updates;
      params.set(snapshot.params);
      slots.forEach((own, i) => {
        for (const [name, values] of Object.entries(own)) values.set(snapshot.slots[i][name]);
      });
      Object.assign(state, snapshot.state);
    },
  };
}

/** The slots of one tensor at their initial values. */
function slotsOf<H extends object>(
  def: OptimizerDef<H>,
  options: H,
  tensor: TensorEntry,
  params: FloatArray,
  floats: (size: number) => FloatArray,
): Record<string, FloatArray> {
  const entries = Object.entries(def.slots(options, tensor)).map(([name, { init = 0, shape }]) => {
    const values = floats(shape === undefined ? tensor.size : sizeOf(shape));
    if (init === 'parameter') values.set(params.subarray(tensor.offset, tensor.offset + tensor.size));
    else values.fill(init);
    return [name, values] as const;
  });
  return Object.fromEntries(entries);
}
