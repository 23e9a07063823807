/** Public surface of the optimizers: what `lockstep` exports. */
export { type AdagradOptions, adagrad } from './adagrad.ts';
export { type AdamOptions, adam, adamw } from './adam.ts';
export type { ClipOptions } from './clip.ts';
export type {
  Driver,
  FloatArray,
  OptimizerDef,
  OptimizerDescription,
  ScheduleDescription,
  SlotSpec,
  StepInfo,
  View,
} from './contract.ts';
export { type CustomOptimizer, defineOptimizer } from './custom.ts';
export type { LearningRate } from './description.ts';
export { type RmspropOptions, rmsprop } from './rmsprop.ts';
export { cosineDecay, exponentialDecay, stepDecay, warmup, warmupCosine } from './schedules.ts';
export { type MomentumOptions, momentum, type NesterovOptions, nesterov, type SgdOptions, sgd } from './sgd.ts';
