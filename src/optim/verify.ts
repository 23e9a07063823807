import type { TensorEntry } from '../graph/program.ts';
import type { OptimizerDef } from './contract.ts';
import { parseOptions } from './options.ts';
import { type Objective, type OptimizerRun, runOptimizer } from './run.ts';

const TENSORS: readonly TensorEntry[] = [
  { name: 'matrix', shape: [3, 5], size: 15, offset: 0, init: { kind: 'constant', value: 0 }, group: 0 },
  { name: 'vector', shape: [4], size: 4, offset: 16, init: { kind: 'constant', value: 0 }, group: 0 },
  { name: 'output', shape: [5, 2], size: 10, offset: 32, init: { kind: 'constant', value: 0 }, group: 0 },
];
const FLAT = 48;
const STEPS = 20;

/**
 * Checks that a definition keeps the contract, on two small matrices and a vector: what it gets wrong, a sentence each; an empty
 * list when nothing was found. For tests of custom optimizers: `expect(verifyOptimizer(lion.definition)).toEqual([])`.
 *
 * @param options as a user would give them, without `lr`; E_OPTION if they are not valid.
 * @param lr default: the definition's, else 0.01. Twenty updates with it must lower a sum of squares.
 */
export function verifyOptimizer(
  def: OptimizerDef,
  options: object | undefined = def.options.safeParse(undefined).success ? undefined : {},
  lr: number = def.defaultLr ?? 0.01,
): readonly string[] {
  const parsed = parseOptions(def.options, options, `optimizer ${def.kind}`);
  const problems: string[] = [];
  const check = (holds: boolean, problem: string): void => {
    if (!holds) problems.push(problem);
  };
  const train = (objective: Objective, gradScale: number, blockSize: number): OptimizerRun => {
    const run = runOptimizer(def, parsed, TENSORS, startingPoint(), blockSize);
    for (let t = 0; t < STEPS; t++) run.step(objective, lr, gradScale);
    return run;
  };

  const run = train(squares(1), 1, FLAT);
  const again = train(squares(1), 1, FLAT);
  const bits = (of: OptimizerRun): string => JSON.stringify([...of.params].map(String));
  check(bits(run) === bits(again), 'two runs differ: update or scalars depends on something outside the contract');
  check(run.params.every(Number.isFinite), 'parameters became infinite or NaN on a sum of squares');
  check(loss(run) < squares(1)(startingPoint()), `${STEPS} updates with lr ${lr} did not lower a sum of squares`);
  check(
    run.params.every((p, i) => inTensor(i) || p === 0),
    'padding between tensors was written',
  );
  check(
    bits(train(squares(4), 0.25, FLAT)) === bits(run),
    'gradScale does not scale the gradient everywhere it is used',
  );
  if (def.unit === 'element') {
    check(bits(train(squares(1), 1, 4)) === bits(run), "results depend on how tensors are cut: unit must be 'tensor'");
  }
  const half = runOptimizer(def, parsed, TENSORS, startingPoint(), FLAT);
  for (let t = 0; t < STEPS / 2; t++) half.step(squares(1), lr);
  const saved = half.save();
  const resumed = train(squares(4), 1, FLAT); // another run in between, as in another process
  resumed.load(saved);
  for (let t = STEPS / 2; t < STEPS; t++) resumed.step(squares(1), lr);
  check(
    bits(resumed) === bits(run),
    'a run that is saved and loaded goes on otherwise: something is kept outside slots and state',
  );
  check(keepsGradients(def, parsed, lr), 'update writes into grad: gradients must be left as they are');
  const still = train((_, grad) => Number(grad?.fill(0).length), 1, FLAT);
  check(still.params.every(Number.isFinite), 'a gradient of zero gives infinite parameters or NaN');
  return problems;
}

const inTensor = (i: number): boolean => TENSORS.some(({ offset, size }) => i >= offset && i < offset + size);

/** Half the sum of squares of the tensors' elements, its gradient times `factor`. */
function squares(factor: number): Objective {
  return (params, grad) => {
    let sum = 0;
    for (let i = 0; i < params.length; i++) {
      const p = inTensor(i) ? params[i] : 0;
      sum += 0.5 * p * p;
      if (grad) grad[i] = factor * p;
    }
    return sum;
  };
}

const loss = (run: OptimizerRun): number => squares(1)(run.evalParameters());

const startingPoint = (): Float32Array =>
  Float32Array.from({ length: FLAT }, (_, i) => (inTensor(i) ? 2 - ((i * 7) % 11) / 4 : 0));

function keepsGradients(def: OptimizerDef, options: object, lr: number): boolean {
  const gradient = Float32Array.from({ length: FLAT }, (_, i) => (inTensor(i) ? (i % 5) - 2.5 : 0));
  const run = runOptimizer(def, options, TENSORS, new Float32Array(FLAT).fill(1), FLAT);
  run.step(
    (_, grad) => {
      grad?.set(gradient);
      return 0;
    },
    lr,
    0.5,
  );
  // Drivers get the gradient already scaled.
  const scale = def.drive === undefined ? 1 : 0.5;
  return run.views.every(({ grad, tensor }) => grad.every((g, i) => g === scale * gradient[tensor.offset + i]));
}
