import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adagrad, adam, adamw, type ClipOptions, constant, defineJob, dense, ema, embedding, type Job, momentum, type OptimizerDescription,
  sgd, type Tensor, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays } from 'lockstep/data';
import * as ops from 'lockstep/ops';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSampler } from '../../src/data/sampler.ts';
import { epochWords } from '../../src/parallel/row-memory.ts';
import { planRun } from '../../src/train/plan-run.ts';
import { philox } from '../fixtures/philox.ts';
import { type ThreadRun, Threads } from '../support/threads.ts';

const [ROWS, USERS, ITEMS, HISTORY] = [300, 90, 60, 3];
const STEPS = 12;
type RatingJob = Job<{ user: 'i32'; item: 'i32'; seen: 'i32'; y: 'f32' }>;

/** Ratings of users for items, and what each user saw before. Few users make most of them. */
function ratings(users = USERS) {
  const random = philox(7);
  const ints = (count: number, size: number) =>
    Int32Array.from({ length: count }, () => Math.floor(size * random() ** 2));
  return {
    user: { data: ints(ROWS, USERS), shape: [ROWS], size: users },
    item: { data: ints(ROWS, ITEMS), shape: [ROWS], size: ITEMS },
    seen: { data: ints(ROWS * HISTORY, ITEMS), shape: [ROWS, HISTORY], size: ITEMS },
    y: Float32Array.from({ length: ROWS }, () => 2 * random() - 1),
  };
}

interface Inputs {
  readonly user: Tensor;
  readonly item: Tensor;
  readonly seen: Tensor;
}
const squaredError = ({ output }: { output: Tensor }, { y }: { y: Tensor }) =>
  ops.square(ops.sub(ops.reshape(output, [-1]), y));

/** The table of the items is looked up twice, once with several ids a row. */
function job(
  sparse: boolean | 'auto',
  optimizer: OptimizerDescription,
  overrides: Partial<RatingJob> = {},
  users = USERS,
) {
  const made = defineJob({
    data: { train: arrays(ratings(users)) },
    model: ({ user, item, seen }: Inputs) => {
      const items = embedding(ITEMS, 6, { name: 'item', sparse });
      const taste = ops.add(embedding(users, 6, { name: 'user', sparse })(user), ops.mean(items(seen), { axis: 1 }));
      return dense(1)(ops.tanh(ops.add(taste, items(item))));
    },
    loss: squaredError,
    optimizer,
    batchSize: 64,
    shards: 4,
    steps: STEPS,
    seed: 3,
    ...overrides,
  });
  return made as unknown as Job;
}

let threads: Threads;
beforeAll(() => {
  threads = new Threads(4);
});
afterAll(() => threads.close());

function parametersOf({ plan, session, floats }: ThreadRun): Record<string, Float32Array> {
  return Object.fromEntries(
    plan.compiled.tensors.map(({ name, offset, size }) => [name, floats(session.layout.parameters + 4 * offset, size)]),
  );
}

/** Parameters and slots by tensor, and norm and clipping of the last two steps. */
async function trained(run: ThreadRun) {
  const { session, plan, floats, doubles } = run;
  await run.train(1, plan.compiled.totalSteps);
  const slots = session.slots.map(({ name, offsets }, i) => [
    name,
    plan.compiled.tensors.map(
      ({ size }, t) => (offsets[t] < 0 ? [] : floats(session.layout.slots[i] + 4 * offsets[t], size)), // frozen: none
    ),
  ]);
  const [words] = [epochWords(session.blocks, session.rowTables)];
  const epochs = new Int32Array(session.memory.buffer, session.layout.epochs, words).slice();
  return {
    parameters: parametersOf(run),
    slots: Object.fromEntries(slots),
    progress: [...doubles(session.layout.progress, 12)],
    epochs: new Set(epochs),
    tables: session.rowTables.length,
  };
}

const on = (workers: number, j: Job) => threads.run(j, workers, trained);
type Trained = Awaited<ReturnType<typeof trained>>;

/** Largest difference between two runs, in parameters, norms and coefficients. */
function distance(a: Trained, b: Trained): number {
  const numbers = (o: Trained) => [...o.progress, ...Object.values(o.parameters).flatMap((data) => [...data])];
  const other = numbers(b);
  return Math.max(...numbers(a).map((x, i) => Math.abs(x - other[i])));
}

describe('sparse gradients give what dense ones give', () => {
  test('by the bit under plain descent', async () => {
    const flat = await on(1, job(false, sgd({ lr: 0.3 })));
    const rows = await on(3, job(true, sgd({ lr: 0.3 })));
    expect([flat.tables, rows.tables]).toEqual([0, 2]);
    expect(rows.parameters).toEqual(flat.parameters);
  });

  test.each<[string, OptimizerDescription, ClipOptions]>([
    ['adagrad', adagrad({ lr: 0.1 }), {}],
    ['a global norm', sgd({ lr: 0.3 }), { globalNorm: 0.05 }],
    ['norms of the run so far', sgd({ lr: 3 }), { globalNorm: 'auto' }],
    ['a norm for each tensor', sgd({ lr: 0.3 }), { tensorNorm: 0.02 }],
    ['root mean squares of tensors', sgd({ lr: 0.3 }), { blockRms: 1e-3 }],
    ['values', adagrad({ lr: 0.1 }), { value: 1e-3, globalNorm: 0.05 }],
  ])('up to rounding under %s', async (_, optimizer, clip) => {
    const flat = await on(1, job(false, optimizer, { clip }));
    const rows = await on(2, job(true, optimizer, { clip }));
    expect(distance(rows, flat)).toBeLessThan(1e-5);
    const clips = Object.keys(clip).length > 0;
    if (clips) expect(distance(rows, await on(1, job(true, optimizer)))).toBeGreaterThan(1e-3);
  });
});

describe('1, 2, 3 and 4 workers give the same bytes', () => {
  test.each<[string, OptimizerDescription, Partial<RatingJob>]>([
    ['adam, clipping by norm', adam({ lr: 0.02 }), { clip: { globalNorm: 0.1 } }],
    [
      'adagrad, 6 shards, clipping by tensor and value',
      adagrad(),
      { shards: 6, clip: { tensorNorm: 0.1, value: 0.01 } },
    ],
    // 300 rows in batches of 99: the last batch has 3 rows, so 4 of 7 shards are empty.
    ['more shards than rows in the last batch', adam({ lr: 0.02 }), { shards: 7, batchSize: 99 }],
    ['a full batch of default shards', adagrad(), { batchSize: 'full', shards: undefined }],
    ['a frozen table', adam({ lr: 0.02, groups: [{ match: 'user/*', freeze: true }] }), {}],
    ['decoupled decay beside the tables', adamw({ lr: 0.02, noDecay: ['user/*', 'item/*'] }), {}],
  ])('%s', async (_, optimizer, overrides) => {
    const j = job(true, optimizer, overrides);
    const one = await on(1, j);
    expect(one.epochs).toEqual(new Set([2 * STEPS])); // every bucket stands after the last step
    for (const workers of [2, 3, 4]) expect(await on(workers, j), `${workers} workers`).toEqual(one);
  });

  test('shards that go together in groups on one worker', async () => {
    const { groupRows, compiled } = await planRun(job(true, adam()), { workers: 1 });
    expect(groupRows[compiled.batchSize]).toBeGreaterThan(compiled.batchSize / compiled.shards);
  });
});

describe('against plain doubles', () => {
  const WIDTH = 4;
  /** Factors of users and items; the score is their inner product. */
  const factors = (optimizer: OptimizerDescription) =>
    defineJob({
      data: { train: arrays(ratings()) },
      model: ({ user, item }: Inputs) =>
        ops.sum(
          ops.mul(
            embedding(USERS, WIDTH, { name: 'user', sparse: true })(user),
            embedding(ITEMS, WIDTH, { name: 'item', sparse: true })(item),
          ),
          { axis: 1 },
        ),
      loss: squaredError,
      optimizer,
      clip: { globalNorm: 0.5 },
      batchSize: 16,
      shards: 2,
      steps: 40,
      seed: 5,
    }) as unknown as Job;

  type Rule = (p: number[], g: number[], state: number[], t: number) => void;
  const rules: Record<string, { optimizer: OptimizerDescription; rule: Rule }> = {
    adagrad: {
      optimizer: adagrad({ lr: 0.2 }),
      rule(p, g, state) {
        g.forEach((x, j) => {
          state[j] = (state[j] ?? 0) + x * x;
          p[j] -= (0.2 * x) / (Math.sqrt(state[j]) + 1e-10);
        });
      },
    },
    // Moments of rows that no sample names stand still; the corrections are those of the step.
    'lazy adam': {
      optimizer: adam({ lr: 0.05, eps: 1e-4 }),
      rule(p, g, state, t) {
        g.forEach((x, j) => {
          const [m, v] = [0.9 * (state[j] ?? 0) + 0.1 * x, 0.999 * (state[WIDTH + j] ?? 0) + 0.001 * x * x];
          state[j] = m;
          state[WIDTH + j] = v;
          p[j] -= (0.05 * (m / (1 - 0.9 ** t))) / (Math.sqrt(v / (1 - 0.999 ** t)) + 1e-4);
        });
      },
    },
  };

  test.each(Object.entries(rules))('%s on the rows of each batch, after clipping', async (_, { optimizer, rule }) => {
    const { user, item, y } = ratings();
    await threads.run(factors(optimizer), 2, async (run) => {
      const start = parametersOf(run);
      const { totalSteps, batchSize } = run.plan.compiled;
      const tables = [user, item].map(({ data, size }, side) => {
        const flat = start[side === 0 ? 'user/weight' : 'item/weight'];
        const rows = Array.from({ length: size }, (_, i) => [...flat.subarray(WIDTH * i, WIDTH * (i + 1))]);
        return { ids: data, rows, states: rows.map((): number[] => []) };
      });
      const sampler = createSampler({ size: ROWS, batchSize, seed: 5, shuffle: true });
      const batch = new Int32Array(batchSize);
      for (let t = 1; t <= totalSteps; t++) {
        const count = sampler.ids(t, 0, 1, batch);
        const sums = tables.map(() => new Map<number, number[]>());
        for (const sample of batch.subarray(0, count)) {
          const [u, v] = tables.map(({ ids, rows }) => rows[ids[sample]]);
          const slope = (2 * (u.reduce((sum, x, j) => sum + x * v[j], 0) - y[sample])) / count;
          [v, u].forEach((other, side) => {
            const id = tables[side].ids[sample];
            const before = sums[side].get(id) ?? new Array<number>(WIDTH).fill(0);
            sums[side].set(
              id,
              before.map((x, j) => x + slope * other[j]),
            );
          });
        }
        const squares = sums.flatMap((sum) => [...sum.values()].flat()).map((x) => x * x);
        const scale = Math.min(1, 0.5 / (Math.sqrt(squares.reduce((a, b) => a + b, 0)) + 1e-6));
        sums.forEach((sum, side) => {
          const { rows, states } = tables[side];
          for (const [id, g] of sum) rule(rows[id], g.map((x) => scale * x), states[id], t); // biome-ignore format: short
        });
      }
      await run.train(1, totalSteps);
      const end = parametersOf(run);
      tables.forEach(({ rows, states }, side) => {
        const name = side === 0 ? 'user/weight' : 'item/weight';
        const error = rows.flat().map((x, i) => Math.abs(x - end[name][i]));
        expect(Math.max(...error)).toBeLessThan(1e-4);
        // What no sample named is as it was.
        const still = states.flatMap((state, id) => (state.length === 0 ? [id] : []));
        expect(still.length).toBeGreaterThan(0);
        for (const id of still) {
          const at = (values: Float32Array) => values.subarray(WIDTH * id, WIDTH * (id + 1));
          expect(at(end[name])).toEqual(at(start[name]));
        }
      });
    });
  });
});

/** By scripts/golden/sparse.py, which says what the numbers are. */
const golden: Record<string, [user: number[], item: number[]]> = JSON.parse(
  readFileSync(new URL('../golden/sparse-pytorch-1.13.json', import.meta.url), 'utf8'),
);

test.each([
  ['sgd', sgd({ lr: 0.3 })],
  ['adagrad', adagrad({ lr: 0.2, eps: 1e-2 })],
  ['adam', adam({ lr: 0.05, eps: 1e-12 })],
])('an epoch under %s ends where PyTorch with sparse gradients does', async (name, optimizer) => {
  // Row i of the golden run stands where the sampler takes its i-th row.
  const [size, batchSize, seed] = [128, 8, 5];
  const sampler = createSampler({ size, batchSize, seed, shuffle: true });
  const [index, batch] = [new Int32Array(size), new Int32Array(batchSize)];
  for (let t = 0; t < size / batchSize; t++) {
    sampler.ids(t + 1, 0, 1, batch);
    for (const [j, row] of batch.entries()) index[row] = t * batchSize + j;
  }
  const ids = [index.map((i) => (i * i + 3 * i) % 23), index.map((i) => (5 * i + Math.floor(i / 7)) % 17)];
  const factors = defineJob({
    data: {
      train: arrays({ user: ids[0], item: ids[1], y: Float32Array.from(index, (i) => Math.cos(0.7 * i)) }),
    },
    model: ({ user, item }) => {
      const table = (size: number, of: string, start: number) =>
        embedding(size, 4, { name: of, sparse: true, init: constant(start) });
      const products = ops.mul(table(23, 'user', 0.3)(user), table(17, 'item', 0.2)(item));
      return ops.sum(ops.mul(products, ops.constant([1, -0.5, 0.25, 2])), { axis: 1 });
    },
    loss: squaredError,
    optimizer,
    batchSize,
    shards: 2,
    epochs: 1,
    seed,
  });
  const { parameters } = await train(factors, { workers: 2 });
  for (const [side, table] of ['user', 'item'].entries()) {
    const { data } = parameters[`${table}/weight`];
    const error = golden[name][side].map((x, i) => Math.abs(x - data[i]));
    expect(Math.max(...error), table).toBeLessThan(2e-5);
    expect(new Set(golden[name][side]).size).toBeGreaterThan(30);
  }
});

test('gradients take as much memory however large the table is', async () => {
  const regions = async (users: number, sparse: boolean) => {
    const { layout } = await planRun(job(sparse, adagrad(), {}, users), { workers: 2 });
    const bytes = (name: string) => layout.regions.find((region) => region.name.startsWith(name))?.bytes;
    return ['reduced', 'gradients', 'workers', 'control'].map(bytes);
  };
  expect(await regions(1_000_000, true)).toEqual(await regions(USERS, true));
  const [reduced] = await regions(1_000_000, false);
  expect(reduced).toBeGreaterThan(4 * 6 * 1_000_000);
});

describe('which tables are sparse', () => {
  const tables = async (j: Job) => {
    const { compiled } = await planRun(j, { workers: 1 });
    return compiled.tensors.filter(({ sparse }) => sparse).map(({ name }) => name);
  };
  const large = 10_000;

  test.each<[string, OptimizerDescription, Partial<RatingJob>, string[]]>([
    ['descent', sgd({ lr: 1 }), {}, ['user/weight']],
    ['adagrad', adagrad(), {}, ['user/weight']],
    ['momentum moves every row', momentum({ lr: 1 }), {}, []],
    ['so does decay', adagrad({ weightDecay: 0.1 }), {}, []],
    ['unless the table is taken out of it', adagrad({ weightDecay: 0.1, noDecay: ['user/*'] }), {}, ['user/weight']],
    ['adam: its sparse rule is another one', adam(), {}, []],
    ['clipping that needs whole tables', adagrad(), { clip: { adaptive: 0.1 } }, []],
    ['a wrapper that looks at every element', ema(adagrad()), {}, []],
  ])('left open, under %s', async (_, optimizer, overrides, expected) => {
    expect(await tables(job('auto', optimizer, overrides, large))).toEqual(expected);
  });

  test('left open under adam, a huge one is pointed out', async () => {
    const notes = async (users: number, sparse: boolean | 'auto') =>
      (await planRun(job(sparse, adam(), {}, users), { workers: 1 })).notes.join();
    expect(await notes(200_000, 'auto')).toMatch(
      /user\/weight: .* all 200000 rows, .* looks up 64 at most; .*sparse: true.*lazy form of adam/,
    );
    for (const [users, sparse] of [
      [large, 'auto'],
      [200_000, true],
      [200_000, false],
    ] as const) {
      expect(await notes(users, sparse)).not.toContain('user/weight');
    }
  });

  test('left open: no small one, none that is used for more than lookups', async () => {
    expect(await tables(job('auto', sgd({ lr: 1 })))).toEqual([]);
    const tied = defineJob({
      data: { train: arrays(ratings(large)) },
      model: ({ user }: Inputs) => {
        const users = embedding(large, 4, { name: 'user' });
        return users.attend(users(user));
      },
      loss: ({ output }: { output: Tensor }) => ops.mean(ops.square(output), { axis: 1 }),
      optimizer: sgd({ lr: 1 }),
      steps: 1,
    }) as unknown as Job;
    expect(await tables(tied)).toEqual([]);
  });

  test.each<[string, OptimizerDescription, Partial<RatingJob>, RegExp]>([
    ['momentum', momentum({ lr: 1 }), {}, /got momentum, which has no sparse form; .*sparse: false/],
    ['decay', adamw(), {}, /got adamw with weightDecay 0.01.*noDecay: \['user\/weight'\]/],
    ['an average of the weights', ema(adagrad()), {}, /got ema, which has no sparse form/],
    ['adaptive clipping', adagrad(), { clip: { adaptive: 0.1 } }, /clip.adaptive/],
  ])('asked for under %s: refused before anything runs', async (_, optimizer, overrides, message) => {
    await expect(train(job(true, optimizer, overrides), { workers: 1 })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringMatching(message),
    });
  });

  test('asked for with a table that is also the output: refused', async () => {
    const tied = defineJob({
      data: { train: arrays(ratings()) },
      model: ({ user }: Inputs) => {
        const users = embedding(USERS, 4, { name: 'user', sparse: true });
        return users.attend(users(user));
      },
      loss: ({ output }: { output: Tensor }) => ops.mean(ops.square(output), { axis: 1 }),
      optimizer: sgd({ lr: 1 }),
      steps: 1,
    }) as unknown as Job;
    await expect(train(tied, { workers: 1 })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringMatching(/user\/weight: sparse.*more is done with than looking up/),
    });
  });
});

test('a gradient that breaks in a table is found there', async () => {
  const { user, item } = ratings();
  const y = new Float32Array(ROWS);
  y[17] = 3e38; // times 10 that is too much, times 1e-30 it is not
  const broken = defineJob({
    data: { train: arrays({ user, item, y }) },
    model: ({ user, item }) => {
      const users = embedding(USERS, 2, { name: 'user', sparse: true, init: constant(1e-30) });
      const items = embedding(ITEMS, 2, { name: 'item', sparse: true, init: constant(10) });
      return ops.sum(ops.mul(users(user), items(item)), { axis: 1 });
    },
    loss: ({ output }, { y }) => ops.mul(output, y),
    optimizer: sgd({ lr: 1 }),
    batchSize: 64,
    shards: 4,
    epochs: 1,
  });
  await expect(train(broken, { workers: 2 })).rejects.toMatchObject({
    code: 'E_NON_FINITE',
    message: expect.stringMatching(/shard \d, rows .*\b17\b.*first bad tensor: user\/weight \(its gradient\)/),
  });
});

describe('checkpoints', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-sparse-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('a run that is resumed ends in the same bytes', async () => {
    const whole = await train(job(true, adam({ lr: 0.02 })), { workers: 1 });
    const runDir = join(folder, 'run');
    const { checkpoint } = await train(job(true, adam({ lr: 0.02 }), { steps: 7 }), { workers: 2, runDir });
    expect(checkpoint).toBeDefined();
    const rest = await train(job(true, adam({ lr: 0.02 })), { workers: 1, resume: checkpoint });
    expect(rest.history[0].step).toBe(8);
    expect(rest.parametersSha256).toBe(whole.parametersSha256);
  });

  test('a warm start takes parameters by name, whichever tables were sparse', async () => {
    const runDir = join(folder, 'warm');
    const { parameters, checkpoint } = await train(job(true, sgd({ lr: 0.1 })), { workers: 1, runDir });
    const still = job(false, sgd({ lr: 1e-30 }), { steps: 1 });
    const warm = await train(still, { workers: 1, warmStart: checkpoint });
    expect(warm.parameters).toEqual(parameters);
  });
});
