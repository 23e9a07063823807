import {
  adabelief, adadelta, adafactor, adagrad, adam, adamax, adamw, adan, asgd, cosineDecay,ema, gradientNoise, lamb, lars, lbfgs, lion, lookahead,
  momentum, muon, nadam, nadamw, nesterov, novograd, type OptimizerDescription, prodigy, radam, rmsprop, rprop, sam, scheduleFreeAdamw,
  scheduleFreeSgd, sgd, sgld, shampoo, soap, sophia, swa, swats, warmupCosine, yogi, 
} from '../../src/optim/index.ts'; // biome-ignore format: a list

/** How a row of the table is tried on the parabola and on Rosenbrock's function. */
export interface Row {
  /** Settings that reach both minima within 3e-2 in 10,000 updates. */
  readonly description: OptimizerDescription;
  /** Where Rosenbrock wants others. */
  readonly rosenbrock?: OptimizerDescription;
  /** Why a function is left out or held to another distance. */
  /** Shapes of the tensors that the two variables lie in. Default one vector. */
  readonly shapes?: readonly (readonly number[])[];
  readonly exception?: { readonly parabola?: number; readonly rosenbrock?: number; readonly reason: string };
}

const half = (initial: number) => cosineDecay({ initial });

/** One row for each optimizer of the catalogue, and for variants that converge otherwise. */
export const ALL: readonly Row[] = [
  { description: sgd({ lr: 1e-3 }) },
  { description: momentum({ lr: 1e-3 }) },
  { description: nesterov({ lr: 1e-3 }) },
  { description: asgd({ lr: 1e-3, lambda: 1e-8, start: 9000 }) },
  { description: rprop() },
  { description: adagrad({ lr: 1 }) },
  { description: adagrad({ lr: 1, epsInside: true, initialAccumulator: 0.1 }) },
  { description: rmsprop({ lr: 5e-3 }) },
  { description: rmsprop({ lr: 5e-3, momentum: 0.5, centered: true, eps: 1e-2 }) },
  { description: adadelta(), rosenbrock: adadelta({ lr: half(1), eps: 1e-8 }) },
  { description: adam({ lr: 1e-2 }) },
  { description: adam({ lr: 1e-2, amsgrad: true }) },
  { description: adamw({ lr: 1e-2, weightDecay: 1e-4 }) },
  { description: adamax({ lr: 1e-2 }) },
  { description: nadam({ lr: 1e-2 }) },
  { description: nadamw({ lr: 1e-2, weightDecay: 1e-4 }) },
  { description: radam({ lr: 5e-3 }) },
  { description: adabelief({ lr: 1e-2, eps: 1e-8 }) },
  { description: yogi({ lr: 1e-2 }) },
  { description: adan({ lr: 1e-2 }) },
  { description: lion({ lr: half(1e-2) }) },
  { description: sophia({ lr: half(1e-2), weightDecay: 0 }) },
  { description: prodigy({ lr: half(1) }) },
  { description: swats({ lr: 1e-2 }) },
  { description: scheduleFreeSgd({ lr: 5e-3 }) },
  { description: scheduleFreeAdamw({ lr: 3e-2, weightDecay: 0 }) },
  { description: lamb({ lr: half(1e-2) }) },
  { description: lars({ lr: half(1), skipVectors: false }) },
  { description: novograd({ lr: half(1e-2) }) },
  { description: adafactor(), rosenbrock: adafactor({ lr: half(1e-2), relativeStep: false }) },
  { description: adafactor({ lr: 2e-2, beta1: 0.9 }) },
  {
    description: muon({ lr: half(2e-2) }),
    shapes: [
      [1, 2],
      [1, 1],
    ],
  },
  { description: shampoo({ lr: half(1e-2) }) },
  { description: soap({ lr: 1e-2, weightDecay: 0 }) },
  { description: lbfgs() },
  {
    description: sgld({ lr: 1e-3, temperature: 1e-6 }),
    exception: { rosenbrock: 0.2, reason: 'wanders around the minimum, far along the flat valley' },
  },
  { description: ema(adam({ lr: 1e-2 })) },
  { description: swa(adam({ lr: 1e-2 }), { start: 9000 }) },
  { description: lookahead(adam({ lr: 2e-2 })) },
  { description: sam(adam({ lr: 1e-2 }), { rho: 1e-4 }) },
  { description: gradientNoise(adam({ lr: warmupCosine({ peak: 1e-2, warmupSteps: 100 }) }), { eta: 0.01 }) },
];
