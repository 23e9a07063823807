import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  binaryCrossEntropy, crossEntropy, defineJob, dense, flatten, type Job, LockstepError, meanSquaredError, sequential, sgd, train,
} from 'lockstep'; // biome-ignore format: a list
import { arrays, csv } from 'lockstep/data';
import { Predictor, type Row } from 'lockstep/predict';
import { afterAll, describe, expect, it } from 'vitest';
import { tensorTable } from '../../src/checkpoint/manifest.ts';
import { encodeModel } from '../../src/checkpoint/model-file.ts';
import { compilePrediction } from '../../src/checkpoint/prediction-graph.ts';
import { createExecutor, executorBytes } from '../../src/graph/execute.ts';
import * as ops from '../../src/graph/ops/index.ts';
import { chooseBackend, openGemm } from '../../src/kernels/backend.ts';
import { GEMM_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { compileKernels, instantiateKernels } from '../../src/kernels/wasm.ts';
import { blobs } from '../fixtures/blobs.ts';
import { philox } from '../fixtures/philox.ts';
import { modelBytes, parametersByName, storedModel } from './stored-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-predict-'));
afterAll(() => rmSync(folder, { recursive: true }));

const base = { optimizer: sgd({ lr: 0.1 }), batchSize: 16, steps: 2 } as const;

const classifier = defineJob({
  ...base,
  data: { train: arrays(blobs(60, 7, 3)) },
  model: sequential(dense(9, 'relu'), dense(3)),
  loss: crossEntropy(),
}) as unknown as Job;

function blobRows(count: number, features = 7): Row[] {
  const random = philox(9);
  return Array.from({ length: count }, () => ({ x: Array.from({ length: features }, () => 6 * random() - 3) }));
}

async function failure(promise: Promise<unknown>): Promise<LockstepError> {
  const error = await promise.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(LockstepError);
  return error as LockstepError;
}

/** relu(x W1 + b1) W2 + b2 in double precision. */
function twoLayers(parameters: Record<string, Float32Array>, x: readonly number[]): number[] {
  const layer = (input: readonly number[], weight: Float32Array, bias: Float32Array) =>
    Array.from(bias, (b, j) => input.reduce((sum, v, i) => sum + v * weight[i * bias.length + j], b));
  const hidden = layer(x, parameters['dense/weight'], parameters['dense/bias']).map((v) => Math.max(0, v));
  return layer(hidden, parameters['dense_1/weight'], parameters['dense_1/bias']);
}

describe('answers', () => {
  it('of a classifier are what its parameters say', async () => {
    const stored = await storedModel(classifier);
    const predictor = await Predictor.load(encodeModel(stored), { kind: 'classification' });
    const parameters = parametersByName(stored);
    const rows = blobRows(20);
    const answers = await predictor.predict(rows);
    for (const [i, { label, className, probabilities }] of answers.entries()) {
      const logits = twoLayers(parameters, (rows[i].x as number[]).map(Math.fround));
      const exp = logits.map((z) => Math.exp(z - Math.max(...logits)));
      const total = exp.reduce((a, b) => a + b);
      expect(label).toBe(logits.indexOf(Math.max(...logits)));
      expect(className).toBe(String(label));
      expect(Object.keys(probabilities)).toEqual(['0', '1', '2']);
      for (const [c, e] of exp.entries()) expect(probabilities[c]).toBeCloseTo(e / total, 5);
    }
    predictor.dispose();
  });

  it('of a yes-or-no model have the probability of yes and, from a CSV, the names of both', async () => {
    const lines = Array.from({ length: 40 }, (_, i) => `${i % 10},${i % 10 > 4 ? 'pass' : 'fail'}`);
    const file = join(folder, 'marks.csv');
    writeFileSync(file, `marks,result\n${lines.join('\n')}\n`);
    const job = defineJob({
      ...base,
      data: { train: csv(file, { target: 'result', task: 'classification' }) },
      model: sequential(dense(1)),
      loss: binaryCrossEntropy(),
    }) as unknown as Job;
    const stored = await storedModel(job);
    const predictor = await Predictor.load(encodeModel(stored), { kind: 'binary' });
    const { 'dense/weight': [weight], 'dense/bias': [bias] } = parametersByName(stored); // biome-ignore format: short
    const mean = 4.5;
    const std = Math.sqrt(8.25);
    for (const marks of [0, 3, 9]) {
      const answer = await predictor.predict({ marks });
      const logit = ((marks - mean) / std) * weight + bias;
      expect(answer.probability).toBeCloseTo(1 / (1 + Math.exp(-logit)), 5);
      expect(answer.label).toBe(logit > 0 ? 1 : 0);
      expect(answer.className).toBe(logit > 0 ? 'pass' : 'fail');
      expect(await predictor.predict({ marks: String(marks) })).toEqual(answer);
    }
    predictor.dispose();
  });

  it('of a regression are in the units of the raw target', async () => {
    const { x } = blobs(50, 7, 2);
    const y = { data: Float64Array.from({ length: 50 }, (_, i) => 1000 + 10 * (i % 5)), shape: [50] };
    const job = (normalize: boolean) =>
      defineJob({
        ...base,
        data: { train: arrays({ x, y }, normalize ? { normalize: { y: 'standard' } } : {}) },
        model: sequential(dense(4, 'relu'), dense(1)),
        loss: meanSquaredError(),
      }) as unknown as Job;
    const stored = await storedModel(job(true));
    const parameters = parametersByName(stored);
    const [normalised, plain] = await Promise.all([
      Predictor.load(encodeModel(stored), { kind: 'regression' }),
      modelBytes(job(false)).then((bytes) => Predictor.load(bytes, { kind: 'regression' })),
    ]);
    for (const row of blobRows(5)) {
      const [output] = twoLayers(parameters, (row.x as number[]).map(Math.fround));
      expect((await plain.predict(row)).value).toBeCloseTo(output, 4);
      expect((await normalised.predict(row)).value).toBeCloseTo(1020 + output * Math.sqrt(200), 2);
    }
  });

  it('of several outputs come by name, those that the loss does not name as numbers', async () => {
    const job = defineJob({
      ...base,
      data: { train: arrays(blobs(60, 7, 3)) },
      model: ({ x }) => ({ kind: dense(3, { name: 'kind' })(x), size: dense(2, { name: 'size' })(x) }),
      loss: crossEntropy({ output: 'kind' }),
      metrics: [],
    }) as unknown as Job;
    const predictor = await Predictor.load(await modelBytes(job));
    const answer = await predictor.predict(blobRows(1)[0]);
    expect(answer).toEqual({
      kind: { label: expect.any(Number), className: expect.any(String), probabilities: expect.any(Object) },
      size: { value: [expect.any(Number), expect.any(Number)] },
    });
    expect((await failure(Predictor.load(await modelBytes(job), { kind: 'classification' }))).code).toBe('E_OPTION');
  });

  it('of a model with layers and a loss of its own need none of its code', async () => {
    const job = defineJob({
      ...base,
      data: { train: arrays(blobs(60, 7, 3)) },
      model: ({ x }) => {
        const weighted = ops.sum(dense(1)(x), { axis: 1 });
        return ops.add(ops.sum(ops.square(ops.sub(x, 1)), { axis: 1 }), ops.mul(weighted, 0));
      },
      loss: ({ output }) => output,
    }) as unknown as Job;
    const predictor = await Predictor.load(await modelBytes(job), { kind: 'regression' });
    expect(await predictor.predict({ x: [1, 1, 1, 1, 1, 1, 3] })).toEqual({ value: 4 });
  });
});

describe('the answer for a row', () => {
  /** Wide enough that a BLAS treats few rows in another way than many. */
  const images = defineJob({
    ...base,
    data: {
      train: arrays({
        x: { data: Uint8Array.from({ length: 30 * 784 }, (_, i) => (i * 31) % 256), shape: [30, 28, 28] },
        y: { data: new Float32Array(300), shape: [30, 10] },
      }),
    },
    model: sequential(flatten(), dense(512, 'relu'), dense(256, 'relu'), dense(10)),
    loss: meanSquaredError(),
  }) as unknown as Job;

  function imageRows(count: number): { x: Uint8Array }[] {
    const random = philox(3);
    return Array.from({ length: count }, () => ({ x: Uint8Array.from({ length: 784 }, () => 256 * random()) }));
  }

  it.each([{ portable: false }, { portable: true }])(
    'has the same bits alone, among others, and in evaluation ($portable)',
    async ({ portable }) => {
      const stored = await storedModel(images);
      const predictor = await Predictor.load(encodeModel(stored), { kind: 'regression', portable });
      const rows = imageRows(300);
      const expected = await evaluated(stored, rows.slice(0, 256), portable);
      const together = (await predictor.predict(rows)).map((a) => a.value);
      expect(together.slice(0, 256)).toEqual(expected);
      const random = philox(4);
      for (let begin = 0; begin < rows.length; ) {
        const size = 1 + Math.floor(20 * random() ** 2 + (random() < 0.1 ? 60 : 0));
        const some = rows.slice(begin, begin + size);
        expect((await predictor.predict(some)).map((a) => a.value)).toEqual(together.slice(begin, begin + size));
        begin += size;
      }
      for (const i of [0, 17, 299]) expect((await predictor.predict(rows[i])).value).toEqual(together[i]);
      predictor.dispose();
    },
  );

  it.each([1, 2, 3])('has the same bits alone and among others where it is %s numbers', async (units) => {
    const job = defineJob({
      ...base,
      data: {
        train: arrays({
          x: { data: Float32Array.from({ length: 30 * 64 }, (_, i) => Math.sin(i)), shape: [30, 64] },
          y: { data: new Float32Array(30 * units), shape: [30, units] },
        }),
      },
      model: sequential(dense(256, 'relu'), dense(256, 'relu'), dense(units)),
      loss: meanSquaredError(),
    }) as unknown as Job;
    const predictor = await Predictor.load(await modelBytes(job), { kind: 'regression' });
    const random = philox(5);
    const rows = Array.from({ length: 128 }, () => ({ x: Float32Array.from({ length: 64 }, () => 2 * random() - 1) }));
    const together = await predictor.predict(rows);
    const alone = [];
    for (const row of rows) alone.push(await predictor.predict(row));
    expect(alone).toEqual(together);
    predictor.dispose();
  });

  /** As the workers compute a shard of 256 rows, on the kernels of this machine. */
  async function evaluated(
    stored: Awaited<ReturnType<typeof storedModel>>,
    rows: { x: Uint8Array }[],
    portable: boolean,
  ) {
    const { manifest, parameters } = stored;
    const { entries } = tensorTable(manifest);
    const program = compilePrediction(
      { fields: manifest.fields, tensors: entries, model: manifest.model } as never,
      256,
    );
    const backend = chooseBackend({ portable });
    const { module } = await compileKernels({ simd: backend.simd });
    const pages = Math.ceil((executorBytes(program, entries) + GEMM_SCRATCH_BYTES) / 65536) + 64;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const kernels = instantiateKernels(module, memory);
    const scratch = 64 * Math.ceil(kernels.heapBase / 64);
    const { buffer } = memory;
    const executor = createExecutor(program, entries, {
      real: new Float32Array(buffer),
      int: new Int32Array(buffer),
      sums: new Float64Array(buffer),
      kernels,
      base: scratch + GEMM_SCRATCH_BYTES,
      bindGemm: openGemm(backend, memory, kernels, scratch).bind,
    });
    new Float32Array(buffer, executor.parameters, parameters.length).set(parameters);
    for (const [i, { x }] of rows.entries()) executor.field('x')?.set(x, 784 * i);
    executor.run();
    const { data } = executor.output('output');
    return rows.map((_, i) => Array.from(data.subarray(10 * i, 10 * i + 10)));
  }

  it('is the same for all forms of its values', async () => {
    const predictor = await Predictor.load(await modelBytes(images), { kind: 'regression' });
    const [{ x }] = imageRows(1);
    const nested = Array.from({ length: 28 }, (_, i) => Array.from(x.subarray(28 * i, 28 * i + 28)));
    const forms = [x, Array.from(x), Float32Array.from(x), nested];
    const answers = await Promise.all(forms.map((form) => predictor.predict({ x: form })));
    for (const answer of answers) expect(answer).toEqual(answers[0]);
  });
});

describe('calls', () => {
  it('are answered in order and each with its own rows, however many come at once', async () => {
    const predictor = await Predictor.load(await modelBytes(classifier));
    const rows = blobRows(400);
    const all = await predictor.predict(rows);
    let end = 0;
    const calls = [3, 1, 0, 70, 256, 30, 1].map((size) => {
      end += size;
      return { begin: end - size, size };
    });
    const answers = await Promise.all(
      calls.map(({ begin, size }) => predictor.predict(rows.slice(begin, begin + size))),
    );
    for (const [i, { begin, size }] of calls.entries()) expect(answers[i]).toEqual(all.slice(begin, begin + size));
    predictor.dispose();
  });

  it('with a bad row fail alone', async () => {
    const predictor = await Predictor.load(await modelBytes(classifier));
    const rows = blobRows(40);
    const bad = [...rows.slice(0, 10), { x: [1, 2, 3, 4, 5, 6, 'seven'] }, ...rows.slice(10)];
    const [before, error, after] = await Promise.all([
      predictor.predict(rows.slice(0, 5)),
      failure(predictor.predict(bad)),
      predictor.predict(rows),
    ]);
    expect(error.message).toContain('rows[10], column "x"');
    const all = await predictor.predict(rows);
    expect(before).toEqual(all.slice(0, 5));
    expect(after).toEqual(all);
  });

  it('leave others their turn while they are long', async () => {
    const predictor = await Predictor.load(await modelBytes(classifier));
    const rows = blobRows(1);
    let turns = 0;
    let done = false;
    const long = predictor.predict(Array.from({ length: 60_000 }, () => rows[0])).then(() => {
      done = true;
    });
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
    }
    await long;
    expect(turns).toBeGreaterThan(2);
  });

  it('fail after dispose, and so do those that wait', async () => {
    const predictor = await Predictor.load(await modelBytes(classifier));
    const waiting = failure(predictor.predict(blobRows(1)[0]));
    predictor.dispose();
    predictor.dispose();
    expect((await waiting).code).toBe('E_ABORTED');
    expect((await failure(predictor.predict(blobRows(1)[0]))).code).toBe('E_ABORTED');
  });
});

describe('rows that cannot be answered', () => {
  const file = join(folder, 'people.csv');
  const lines = Array.from(
    { length: 30 },
    (_, i) => `${i},${20 + i},${['DE', 'FR'][i % 2]},${i % 3 ? 'yes' : 'no'},${i % 2}`,
  );
  writeFileSync(file, `id,age,country,vip,bought\n${lines.join('\n')}\n`);
  const job = (options: object) =>
    defineJob({
      ...base,
      data: { train: csv(file, { target: 'bought', ignore: ['id'], ...options }) },
      model: sequential(dense(2)),
      loss: crossEntropy(),
    }) as unknown as Job;
  const good = { age: 30, country: 'DE', vip: true };

  it.each([
    [
      'a column too many',
      { ...good, cuntry: 'DE' },
      'E_DATA_VALUE',
      /rows\[1\], column "cuntry".*did you mean "country"/,
    ],
    [
      'a column too few',
      { age: 30, vip: true },
      'E_DATA_MISSING',
      /rows\[1\], column "country": expected a value, got a row with age, vip/,
    ],
    ['a text that is no number', { ...good, age: 'old' }, 'E_DATA_VALUE', /rows\[1\], column "age".*"old"/],
    ['no value', { ...good, age: null }, 'E_DATA_VALUE', /rows\[1\], column "age": expected a finite number/],
    ['a category never seen', { ...good, country: 'ES' }, 'E_DATA_VALUE', /rows\[1\], column "country".*"ES"/],
    ['no truth value', { ...good, vip: 'perhaps' }, 'E_DATA_VALUE', /rows\[1\], column "vip": expected true or false/],
    ['an array', [1, 2], 'E_DATA_VALUE', /rows\[1\]: expected an object with age, country, vip, got an array/],
    ['nothing', undefined, 'E_DATA_VALUE', /rows\[1\]: expected an object/],
  ])('%s', async (_, row, code, message) => {
    const predictor = await Predictor.load(await modelBytes(job({})));
    const error = await failure(predictor.predict([good, row as Row]));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });

  it('columns of the training data that the model does not read are fine', async () => {
    const predictor = await Predictor.load(await modelBytes(job({})));
    expect(await predictor.predict({ id: 5, bought: 1, ...good })).toEqual(await predictor.predict(good));
    expect(predictor.columns).toEqual(['age', 'country', 'vip']);
  });

  it('a missing value is what training put there, a missing column still an error', async () => {
    const predictor = await Predictor.load(await modelBytes(job({ missing: 'mean' })));
    const mean = await predictor.predict({ ...good, age: 34.5 });
    expect(await predictor.predict({ ...good, age: null })).toEqual(mean);
    expect(await predictor.predict({ ...good, age: 'NA' })).toEqual(mean);
    expect((await failure(predictor.predict({ country: 'DE', vip: true }))).code).toBe('E_DATA_MISSING');
  });
});

describe('Predictor.load', () => {
  it('takes a run, its checkpoints, one of them, and a file: the newest whole one, or the best', async () => {
    const runDir = join(folder, 'run');
    const job = defineJob({
      ...base,
      data: { train: arrays(blobs(200, 7, 3)), validation: 0.2 },
      model: sequential(dense(9, 'relu'), dense(3)),
      loss: crossEntropy(),
      steps: 30,
      optimizer: sgd({ lr: 3 }),
      checkpoint: { everySteps: 10, keepLast: 3 },
      evaluate: { everySteps: 10 },
    });
    const { evaluations } = await train(job, { workers: 1, runDir });
    const checkpoints = join(runDir, 'checkpoints');
    const stepOf = async (source: string, best?: string) => {
      const predictor = await Predictor.load(source, best === undefined ? {} : { best });
      predictor.dispose();
      return predictor.manifest.step;
    };
    expect(await stepOf(runDir)).toBe(30);
    expect(await stepOf(checkpoints)).toBe(30);
    expect(await stepOf(join(checkpoints, 'step-00000010'))).toBe(10);
    for (const [metric, sign] of [
      ['val.loss', 1],
      ['val.accuracy', -1],
    ] as const) {
      // biome-ignore format: short
      const ranked = [...evaluations].sort((a, b) => sign * (a.metrics[metric] - b.metrics[metric]) || a.step - b.step);
      expect(await stepOf(runDir, metric)).toBe(ranked[0].step);
    }
    expect((await failure(Predictor.load(runDir, { best: 'val.r2' }))).message).toContain('val.accuracy');
    const file = join(folder, 'model.safetensors');
    writeFileSync(file, encodeModel(await storedModel(classifier)));
    expect(await stepOf(file)).toBe(1);
    truncateSync(join(checkpoints, 'step-00000030', 'parameters.safetensors'), 100);
    expect(await stepOf(runDir)).toBe(20);
  });

  it.each([
    ['a device', '/dev/null', 'E_CHECKPOINT'],
    ['a number', 5 as unknown as string, 'E_OPTION'],
    ['a folder that is not there', join(folder, 'nowhere'), 'E_CHECKPOINT'],
    ['a folder without checkpoints', folder, 'E_CHECKPOINT'],
    ['bytes that are no model', new Uint8Array(100), 'E_CHECKPOINT'],
  ])('refuses %s', async (_, source, code) => {
    expect((await failure(Predictor.load(source))).code).toBe(code);
  });

  it('refuses a file whose graphs do not agree on the outputs', async () => {
    const stored = await storedModel(classifier);
    const { model } = stored.manifest;
    type Outputs = [string, number][];
    for (const change of [
      (outputs: Outputs): Outputs => outputs.map(([, at]) => ['other', at]),
      (outputs: Outputs): Outputs => outputs.map(([name]) => [name, 0]), // another tensor of another shape
    ]) {
      const forged = model.map((variant, i) => (i === 2 ? { ...variant, outputs: change(variant.outputs) } : variant));
      const bytes = encodeModel({ ...stored, manifest: { ...stored.manifest, model: forged } });
      const error = await failure(Predictor.load(bytes));
      expect(error.code).toBe('E_CHECKPOINT');
      expect(error.message).toMatch(/^model graph of 64 rows: expected outputs "output f32 \[1, 3\]", got/);
    }
  });

  it('refuses options that do not exist, and a model of another kind', async () => {
    const bytes = await modelBytes(classifier);
    expect((await failure(Predictor.load(bytes, { kinds: 'binary' } as never))).message).toContain('kinds');
    expect((await failure(Predictor.load(bytes, { kind: 'binary' }))).message).toContain("'classification'");
  });

  it('says where the kernels were looked for', async () => {
    const error = await failure(
      Predictor.load(await modelBytes(classifier), { portable: true, kernels: { simd128: join(folder, 'x.wasm') } }),
    );
    expect(error.code).toBe('E_KERNEL');
    expect(error.message).toContain('x.wasm');
  });
});
