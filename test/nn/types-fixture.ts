/**
 * What must compile and what must not, checked by types.test.ts (and by `npm run types`): an unused `@ts-expect-error` is an error.
 * Nothing here runs.
 */
import type { DataSpec, Source } from '../../src/data/contract.ts';
import { add } from '../../src/graph/ops/index.ts';
import { crossEntropy, dense, type Inputs, type LossDef, meanSquaredError, sequential } from '../../src/nn/index.ts';
import type { OptimizerDescription } from '../../src/optim/contract.ts';
import { defineJob, type Job } from '../../src/train/job.ts';

declare const source: Source<{ x: 'f32'; user: 'i32'; y: 'i32' }>;
declare const unknownFields: Source;
declare const withoutX: Source<{ pixels: 'f32'; y: 'i32' }>;
declare const optimizer: OptimizerDescription;
declare function train(job: Job): void;

const data: DataSpec<{ x: 'f32'; user: 'i32'; y: 'i32' }> = { train: source, validation: 0.1 };
const loss = crossEntropy();

export const jobs = [
  defineJob({ data, model: sequential(dense(1)), loss, optimizer }),
  defineJob({ data, model: sequential(sequential(dense(1), { name: 'a' }), dense(2)), loss, optimizer }),
  defineJob({ data: { train: unknownFields }, model: sequential(dense(1)), loss, optimizer }),
  defineJob({ data: { train: withoutX }, model: ({ pixels }) => sequential(dense(1))(pixels), loss, optimizer }),
  defineJob({
    data,
    model: ({ x, user }, info) => add(dense(info.user.size)(x), dense(info.y.size)(user)),
    loss: ({ output }, { y }, info) => ({ value: output, weight: info.y.size > 2 ? y : output }),
    optimizer,
  }),
  defineJob({
    data,
    model: ({ x }) => ({ rating: dense(1)(x), click: dense(2)(x) }),
    loss: ({ rating, click }, { y }) => add(rating, add(click, y)),
    optimizer,
  }),
  // Names that come from a file header are known at run time only.
  defineJob({
    data: { train: unknownFields },
    model: ({ whatever }, info) => dense(info.other.size)(whatever),
    loss: meanSquaredError({ target: 'price' }),
    optimizer,
  }),
];

// A job of known fields and outputs is a Job.
train(defineJob({ data, model: ({ x }) => ({ rating: x }), loss: ({ rating }, { y }) => add(rating, y), optimizer }));
for (const job of jobs) train(job);

export const broken = [
  // @ts-expect-error: a field that the data lacks
  defineJob({ data, model: ({ usr }) => dense(1)(usr), loss, optimizer }),
  // @ts-expect-error: the same in info
  defineJob({ data, model: ({ x }, info) => dense(info.usr.size)(x), loss, optimizer }),
  // @ts-expect-error: f32 fields have no number of values
  defineJob({ data, model: ({ x }, info) => dense(info.x.size)(x), loss, optimizer }),
  // @ts-expect-error: sequential reads x
  defineJob({ data: { train: withoutX }, model: sequential(dense(1)), loss, optimizer }),
  // @ts-expect-error: a model function of other fields
  defineJob({ data, model: ({ usr }: Inputs<{ usr: 'f32' }>) => usr, loss, optimizer }),
  // @ts-expect-error: no tensor
  defineJob({ data, model: ({ x }) => x.shape, loss, optimizer }),
  // @ts-expect-error: an output that the model lacks
  defineJob({ data, model: ({ x }) => ({ rating: x }), loss: ({ ratng }) => ratng, optimizer }),
  // @ts-expect-error: the only output is called output
  defineJob({ data, model: ({ x }) => x, loss: ({ rating }) => rating, optimizer }),
  // @ts-expect-error: the same for a sequential model
  defineJob({ data, model: sequential(dense(1)), loss: ({ rating }) => rating, optimizer }),
  // @ts-expect-error: a target that the data lacks
  defineJob({ data, model: ({ x }) => x, loss: (_, { stars }) => stars, optimizer }),
  // @ts-expect-error: a loss that gives no tensor
  defineJob({ data, model: ({ x }) => x, loss: () => 3, optimizer }),
  // @ts-expect-error: no activation of that name
  dense(8, 'rleu'),
  // @ts-expect-error: no option of that name
  dense(8, 'relu', { nmae: 'a' }),
  // @ts-expect-error: options come last
  sequential({ name: 'a' }, dense(1)),
];

export const standard: LossDef = loss;
