/** Public surface of the optimizers: what `lockstep` exports. */
export { type AdabeliefOptions, adabelief } from './adabelief.ts';
export { type AdadeltaOptions, adadelta } from './adadelta.ts';
export { type AdafactorOptions, adafactor } from './adafactor.ts';
export { type AdagradOptions, adagrad } from './adagrad.ts';
export { type AdamOptions, adam, adamw } from './adam.ts';
export { type AdamaxOptions, adamax } from './adamax.ts';
export { type AdanOptions, adan } from './adan.ts';
export { type AsgdOptions, asgd } from './asgd.ts';
export { type EmaOptions, ema, type SwaOptions, swa } from './averages.ts';
export type { ClipOptions } from './clip.ts';
export type { DecayOptions } from './common.ts';
export type {
  Compat,
  Driver,
  FloatArray,
  OptimizerAbout,
  OptimizerDef,
  OptimizerDescription,
  ScheduleDescription,
  SlotSpec,
  SparseView,
  StepInfo,
  View,
} from './contract.ts';
export { type CustomOptimizer, defineOptimizer } from './custom.ts';
export type { CommonOptions, LearningRate, ParameterGroup } from './description.ts';
export { type GradientNoiseOptions, gradientNoise } from './gradient-noise.ts';
export { type LambOptions, lamb } from './lamb.ts';
export { type LarsOptions, lars } from './lars.ts';
export { type LbfgsOptions, lbfgs } from './lbfgs.ts';
export { type LionOptions, lion } from './lion.ts';
export { type LookaheadOptions, lookahead } from './lookahead.ts';
export { type MuonOptions, muon } from './muon.ts';
export { type NadamOptions, nadam, nadamw } from './nadam.ts';
export { type NovogradOptions, novograd } from './novograd.ts';
export { type ProdigyOptions, prodigy } from './prodigy.ts';
export { type RadamOptions, radam } from './radam.ts';
export { type RmspropOptions, rmsprop } from './rmsprop.ts';
export { type RpropOptions, rprop } from './rprop.ts';
export { type SamOptions, sam } from './sam.ts';
export {
  type ScheduleFreeAdamwOptions,
  type ScheduleFreeSgdOptions,
  scheduleFreeAdamw,
  scheduleFreeSgd,
} from './schedule-free.ts';
export {
  cosineDecay,
  cosineRestarts,
  cyclic,
  exponentialDecay,
  exponentialGrowth,
  inverseTimeDecay,
  linearDecay,
  multiStepDecay,
  oneCycle,
  piecewiseConstant,
  polynomialDecay,
  reduceOnPlateau,
  stepDecay,
  warmup,
  warmupCosine,
  warmupStableDecay,
} from './schedule-functions.ts';
export { type MomentumOptions, momentum, type NesterovOptions, nesterov, type SgdOptions, sgd } from './sgd.ts';
export { type SgldOptions, sgld } from './sgld.ts';
export { type ShampooOptions, shampoo } from './shampoo.ts';
export { type SoapOptions, soap } from './soap.ts';
export { type SophiaOptions, sophia } from './sophia.ts';
export { type SwatsOptions, swats } from './swats.ts';
export { type YogiOptions, yogi } from './yogi.ts';
