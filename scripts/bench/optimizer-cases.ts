/** The optimizers with a fused kernel, and the same in PyTorch 1.13 where it has one. */
import type { OptimizerDescription } from '../../src/optim/contract.ts';
import {
  adabelief, adadelta, adagrad, adam, adamax, adamw, adan, asgd, lion, momentum, nadam, nesterov, prodigy, radam, rmsprop, rprop,
  scheduleFreeAdamw, scheduleFreeSgd, sgd, sophia, swats, yogi,
} from '../../src/optim/index.ts'; // biome-ignore format: a list

export interface OptimizerCase {
  readonly name: string;
  readonly description: OptimizerDescription;
  /** Class of torch.optim and its options, beside foreach=True. */
  readonly torch?: readonly [string, Readonly<Record<string, unknown>>];
}

const lr = 1e-3;

export const OPTIMIZER_CASES: readonly OptimizerCase[] = [
  { name: 'sgd', description: sgd({ lr }), torch: ['SGD', {}] },
  { name: 'momentum', description: momentum({ lr }), torch: ['SGD', { momentum: 0.9 }] },
  { name: 'nesterov', description: nesterov({ lr }), torch: ['SGD', { momentum: 0.9, nesterov: true }] },
  { name: 'asgd', description: asgd({ lr }), torch: ['ASGD', {}] },
  { name: 'rprop', description: rprop({ lr }), torch: ['Rprop', {}] },
  { name: 'adagrad', description: adagrad({ lr }), torch: ['Adagrad', {}] },
  { name: 'rmsprop', description: rmsprop({ lr }), torch: ['RMSprop', {}] },
  { name: 'rmsprop, momentum', description: rmsprop({ lr, momentum: 0.9 }), torch: ['RMSprop', { momentum: 0.9 }] },
  { name: 'rmsprop, centered', description: rmsprop({ lr, centered: true }), torch: ['RMSprop', { centered: true }] },
  {
    name: 'rmsprop, both',
    description: rmsprop({ lr, momentum: 0.9, centered: true }),
    torch: ['RMSprop', { momentum: 0.9, centered: true }],
  },
  { name: 'adadelta', description: adadelta({ lr }), torch: ['Adadelta', {}] },
  { name: 'adamw', description: adamw({ lr }), torch: ['AdamW', {}] },
  { name: 'adam, L2', description: adam({ lr, weightDecay: 0.01 }), torch: ['Adam', { weight_decay: 0.01 }] },
  { name: 'amsgrad', description: adam({ lr, amsgrad: true }), torch: ['Adam', { amsgrad: true }] },
  { name: 'adamax', description: adamax({ lr }), torch: ['Adamax', {}] },
  { name: 'nadam', description: nadam({ lr }), torch: ['NAdam', {}] },
  { name: 'radam', description: radam({ lr }), torch: ['RAdam', {}] },
  { name: 'adabelief', description: adabelief({ lr }) },
  { name: 'yogi', description: yogi({ lr }) },
  { name: 'adan', description: adan({ lr }) },
  { name: 'lion', description: lion({ lr }) },
  { name: 'sophia', description: sophia({ lr }) },
  { name: 'prodigy', description: prodigy({ lr: 1 }) },
  { name: 'swats', description: swats({ lr }) },
  { name: 'scheduleFreeSgd', description: scheduleFreeSgd({ lr }) },
  { name: 'scheduleFreeAdamw', description: scheduleFreeAdamw({ lr }) },
];
