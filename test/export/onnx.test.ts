import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StoredModel } from '../../src/checkpoint/model-file.ts';
import { encodeModel } from '../../src/checkpoint/model-file.ts';
import { arrays, csv } from '../../src/data/index.ts';
import { LockstepError } from '../../src/errors.ts';
import { encodeOnnx } from '../../src/export/onnx.ts';
import * as ops from '../../src/graph/ops/index.ts';
import * as nn from '../../src/index.ts';
import type { Classification } from '../../src/predict/answer.ts';
import { Predictor } from '../../src/predict/index.ts';
import type { Job } from '../../src/train/job.ts';
import { philox } from '../fixtures/philox.ts';
import { storedModel } from '../predict/stored-model.ts';

beforeAll(() => {
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
});

const ROWS = 11; // none of those that the graph was traced for

/** Rows of f32 or i32 fields; i32 counts up to 7. */
function table(fields: Readonly<Record<string, { shape: readonly number[]; dtype?: 'f32' | 'i32'; raw?: number[] }>>) {
  const random = philox(3);
  return Object.fromEntries(
    Object.entries(fields).map(([name, { shape, dtype = 'f32' }]) => {
      const size = ROWS * shape.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: size }, () =>
        dtype === 'i32' ? Math.floor(7 * random()) : 4 * random() - 2,
      );
      const data = dtype === 'i32' ? Int32Array.from(values) : Float32Array.from(values);
      return [name, { data, shape: [ROWS, ...shape] }];
    }),
  );
}

type Table = ReturnType<typeof table>;

async function run(stored: StoredModel, feeds: Readonly<Record<string, ort.Tensor>>) {
  const { bytes, inputs, outputs } = encodeOnnx(stored);
  const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
  expect([session.inputNames, session.outputNames]).toEqual([inputs, outputs]);
  try {
    return await session.run(Object.fromEntries(inputs.map((name) => [name, feeds[name]])));
  } finally {
    await session.release();
  }
}

function feedsOf(fields: Table): Record<string, ort.Tensor> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, { data, shape }]) => [
      name,
      data instanceof Int32Array ? new ort.Tensor('int32', data, shape) : new ort.Tensor('float32', data, shape),
    ]),
  );
}

/** The model's answers for all rows, by Lockstep's own kernels. */
async function answers(stored: StoredModel, fields: Table): Promise<number[]> {
  const predictor = await Predictor.load(encodeModel(stored));
  const rows = Array.from({ length: ROWS }, (_, i) =>
    Object.fromEntries(
      Object.entries(fields).map(([name, { data, shape }]) => {
        const width = data.length / ROWS;
        return [name, shape.length === 1 ? data[i] : data.slice(i * width, (i + 1) * width)];
      }),
    ),
  );
  const predictions = await predictor.predict(rows);
  predictor.dispose();
  return predictions.flatMap((p) => [(p as { value: number | number[] }).value].flat(9) as number[]);
}

/** A model over x (and what `fields` adds) that ends in three numbers a row. */
async function compareModel(model: Job['model'], fields: Table): Promise<void> {
  const y = { data: new Float32Array(3 * ROWS), shape: [ROWS, 3] };
  const job = nn.defineJob({
    data: { train: arrays({ ...fields, y }) },
    model: model as never,
    loss: nn.meanSquaredError(),
    optimizer: nn.sgd({ lr: 0.1 }),
    batchSize: 4,
  }) as unknown as Job;
  const stored = await storedModel(job);
  const { output } = await run(stored, feedsOf(fields));
  const expected = await answers(stored, fields);
  expect(output.dims).toEqual([ROWS, 3]);
  const got = [...(output.data as Float32Array)];
  const largest = Math.max(...expected.map(Math.abs));
  expect(largest).toBeGreaterThan(1e-3);
  for (const [i, value] of got.entries())
    expect(Math.abs(value - expected[i])).toBeLessThan(1e-5 * Math.max(1, largest));
}

const { sequential, dense, flatten, reshape } = nn;
/** Of one job: layers must not be shared between jobs. */
const end = () => dense(3);
const image = table({ x: { shape: [9, 8, 2] } });
const series = table({ x: { shape: [7, 4] } });
const tokens = table({ x: { shape: [6], dtype: 'i32' } });
const flat = table({ x: { shape: [12] } });
const counted = { ...series, ...table({ n: { shape: [], dtype: 'i32' } }) };
const masked = { ...series, ...table({ mask: { shape: [7], dtype: 'i32' } }) };
const ACTIVATIONS = ['relu', 'leakyRelu', 'elu', 'tanh', 'sigmoid', 'gelu', 'geluTanh', 'silu', 'softplus'] as const;

type Case = [name: string, model: Job['model'], fields: Table];
const images = (name: string, ...layers: nn.SequentialPart[]): Case => [
  name,
  sequential(...layers, flatten(), end()) as Job['model'],
  image,
];
const sequences = (name: string, ...layers: nn.SequentialPart[]): Case => [
  name,
  sequential(...layers, flatten(), end()) as Job['model'],
  series,
];
/** A model as a function of its inputs. */
const inputs = (name: string, fields: Table, model: (x: Readonly<Record<string, nn.Tensor>>) => nn.Tensor): Case => [
  name,
  ((x: Readonly<Record<string, nn.Tensor>>) => end()(ops.flatten(model(x)))) as unknown as Job['model'],
  fields,
];

describe('every layer runs in ONNX Runtime as here', () => {
  test.each<Case>([
    ...ACTIVATIONS.map((name): Case => [name, sequential(dense(8, name), end()) as Job['model'], flat]),
    ['activation', sequential(dense(8), nn.activation('gelu'), end()) as Job['model'], flat],
    ['dropout', sequential(dense(8), nn.dropout(0.5), end()) as Job['model'], flat],
    ['reshape, flatten', sequential(reshape([3, 4]), dense(2), flatten(), end()) as Job['model'], flat],
    ['residual', sequential(nn.residual(dense(12, 'tanh'), dense(12)), end()) as Job['model'], flat],
    [
      'lambda',
      sequential(
        nn.lambda((x) => ops.square(x)),
        end(),
      ) as Job['model'],
      flat,
    ],
  ])('%s', (_, model, fields) => compareModel(model, fields));

  test.each<Case>([
    images('conv2d, valid', nn.conv2d(3, 3, 'relu')),
    images('conv2d, same, stride 2', nn.conv2d(3, [3, 2], { padding: 'same', stride: 2 })),
    images('conv2d, dilated, padded', nn.conv2d(4, 2, { padding: [2, 1], dilation: [2, 1], stride: [1, 2] })),
    images('conv2d, groups', nn.conv2d(6, 3, 'tanh', { groups: 2, bias: false })),
    images('depthwiseConv2d', nn.depthwiseConv2d(3, { multiplier: 2, padding: 'same' })),
    images('convTranspose2d', nn.convTranspose2d(3, 3, { stride: 2, padding: 1, outputPadding: 1 })),
    images('convTranspose2d, same, groups', nn.convTranspose2d(4, 3, { stride: 2, padding: 'same', groups: 2 })),
    images('maxPool2d', nn.maxPool2d(2)),
    images('maxPool2d, same', nn.maxPool2d(3, { stride: 2, padding: 'same' })),
    images('avgPool2d, padded', nn.avgPool2d([3, 2], { stride: [2, 1], padding: 1 })),
    images('globalAvgPool', nn.globalAvgPool()),
    images('globalMaxPool', nn.globalMaxPool()),
    sequences('conv1d', nn.conv1d(5, 3, 'relu', { padding: 'same', stride: 2 })),
    sequences('maxPool1d', nn.maxPool1d(3)),
    sequences('avgPool1d', nn.avgPool1d(3, { stride: 1, padding: 'same' })),
    sequences('layerNorm', nn.layerNorm()),
    sequences('layerNorm, plain', nn.layerNorm({ weight: false, bias: false })),
    sequences('rmsNorm', nn.rmsNorm()),
    sequences('groupNorm', nn.groupNorm(2)),
    images('batchNorm', nn.batchNorm()),
    images('batchNorm, axis 1', nn.batchNorm({ axis: 1 })),
    sequences('positions', nn.positions(9)),
  ])('%s', (_, model, fields) => compareModel(model, fields));

  test.each<Case>([
    ...Object.entries({ rnn: nn.rnn, lstm: nn.lstm, gru: nn.gru }).flatMap(([kind, layer]): Case[] => [
      sequences(`${kind}, last`, layer(6)),
      sequences(`${kind}, stacked, both ways`, layer(5, { layers: 2, bidirectional: true, return: 'sequence' })),
      inputs(`${kind}, masked, both ways`, masked, ({ x, mask }) =>
        layer(4, { bidirectional: true, return: 'sequence' })(x, { mask }),
      ),
      inputs(`${kind}, masked, last`, masked, ({ x, mask }) => layer(4)(x, { mask })),
      inputs(`${kind}, of lengths, both ways, last`, counted, ({ x, n }) =>
        layer(4, { bidirectional: true, layers: 2 })(x, { lengths: ops.add(ops.cast(n), 1) }),
      ),
    ]),
    sequences('rnn, relu', nn.rnn(6, { activation: 'relu', bias: false })),
    sequences('attention', dense(8), nn.multiHeadAttention({ heads: 2 })),
    sequences('attention, causal, rotary', dense(8), nn.multiHeadAttention({ heads: 2, causal: true, rotary: true })),
    inputs('attention, masked', masked, ({ x, mask }) =>
      nn.multiHeadAttention({ heads: 2, causal: true })(x, { mask: ops.cast(ops.greater(ops.cast(mask), 3)) }),
    ),
    inputs('attention, crossed', { ...series, ...table({ context: { shape: [5, 3] } }) }, ({ x, context }) =>
      nn.multiHeadAttention({ heads: 2 })(x, { context }),
    ),
    inputs('attention, crossed, masked, rotary', masked, ({ x, mask }) =>
      nn.multiHeadAttention({ heads: 1, rotary: true, bias: false })(x, {
        context: nn.conv1d(3, 1)(x),
        mask: ops.cast(ops.greater(ops.cast(mask), 3)),
      }),
    ),
    ['embedding', sequential(nn.embedding(7, 5), flatten(), end()) as Job['model'], tokens],
    inputs('embedding, tied', tokens, ({ x }) => {
      const table = nn.embedding(7, 4);
      return table.attend(nn.layerNorm()(table(x)));
    }),
  ])('%s', (_, model, fields) => compareModel(model, fields));
});

describe('every op that a model may use', () => {
  const a = table({ x: { shape: [4, 3] }, y2: { shape: [4, 1] } });
  const positive = (x: nn.Tensor) => ops.add(ops.square(x), 0.5);
  test.each<Case>([
    inputs('unary', a, ({ x }) => {
      const { neg, exp, log, sqrt, abs, reciprocal, sign, floor, sin, cos, erf, clamp, pow, mul } = ops;
      const all = [
        neg(x),
        exp(x),
        log(positive(x)),
        sqrt(positive(x)),
        abs(x),
        reciprocal(positive(x)),
        sign(x),
        floor(x),
      ];
      return ops.concat([...all, sin(x), cos(x), erf(x), clamp(x, -0.5, 1), pow(positive(x), 1.7), mul(x, 3)]);
    }),
    inputs(
      'binary and broadcasting',
      a,
      ({ x, y2 }) =>
      ops.concat([
        ops.add(x, y2), ops.sub(x, y2), ops.mul(x, y2), ops.div(x, positive(y2)), ops.pow(positive(x), y2),
        ops.minimum(x, y2), ops.maximum(x, y2), ops.sub(1, x), ops.add(x, ops.constant([[1, 2, 3]])),
      ]), // biome-ignore format: a list
    ),
    inputs(
      'comparisons and where',
      a,
      ({ x, y2 }) =>
      ops.concat([
        ops.greater(x, y2), ops.greaterEqual(x, x), ops.less(x, y2), ops.lessEqual(x, y2), ops.equal(x, x),
        ops.notEqual(x, y2), ops.where(ops.greater(x, 0), x, y2),
      ]), // biome-ignore format: a list
    ),
    inputs(
      'reductions',
      a,
      ({ x }) =>
      ops.concat([
        ops.sum(x, { axis: 1 }), ops.mean(x, { axis: 1 }), ops.max(x, { axis: 1 }), ops.min(x, { axis: [1, 2] , keepDims: false }),
        ops.cast(ops.argmax(x)), ops.flatten(ops.softmax(x)), ops.flatten(ops.logSoftmax(x, 1)),
      ].map((t) => ops.flatten(t))), // biome-ignore format: a list
    ),
    inputs('shapes', a, ({ x, y2 }) => {
      const rows = x.shape[0];
      const folded = ops.reshape(ops.mul(ops.reshape(x, [rows * 4, 3]), 2), [rows, 3, 4]); // rows and positions in one axis
      const parts = [
        ops.slice(ops.transpose(folded, [0, 2, 1]), 1, 1, 3), ops.pad(x, [[0, 0], [1, 0], [0, 0]], 0.5),
        ops.broadcastTo(y2, [rows, 4, 3]), ops.stack([x, x], 1), ops.constant(2, [rows, 2]), ops.stopGradient(x),
      ]; // biome-ignore format: a list
      return ops.concat(parts.map((t) => ops.flatten(t)));
    }),
    inputs('products', a, ({ x, y2 }) => {
      const square = ops.matmul(ops.transpose(x, [0, 2, 1]), x);
      return ops.concat([ops.flatten(square), ops.flatten(ops.matmul(ops.transpose(x, [0, 2, 1]), y2))]);
    }),
  ])('%s', (_, model, fields) => compareModel(model, fields));
});

const RAW = 'amount,country,vip,size,target';
const CSV_ROWS = [
  '1200.5,DE,yes,3,31',
  '7,FR,no,,12',
  '350,IT,yes,12,55',
  '42.25,DE,no,5,18',
  ',FR,yes,8,40',
  '999,IT,no,2,9',
];

describe('raw columns in, answers out', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-onnx-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'rows.csv'), [RAW, ...CSV_ROWS].join('\n'));
  const rows = [
    { amount: 10, country: 'FR', vip: true, size: 3 },
    { amount: null, country: 'DE', vip: false, size: null },
    { amount: 5000, country: 'IT', vip: true, size: 1 },
  ];
  const feeds = {
    amount: new ort.Tensor('float32', [10, Number.NaN, 5000], [3]),
    country: new ort.Tensor('string', ['FR', 'DE', 'IT'], [3]),
    vip: new ort.Tensor('bool', [true, false, true], [3]),
    size: new ort.Tensor('float32', [3, Number.NaN, 1], [3]),
  };
  const csvJob = {
    data: { train: csv(join(folder, 'rows.csv'), { target: 'target', missing: 'mean' }) },
    model: sequential(dense(6, 'tanh'), dense(1)),
    loss: nn.meanSquaredError(),
    optimizer: nn.sgd({ lr: 0.1 }),
    batchSize: 4,
  } as unknown as Job;

  test('numbers, texts, truths and gaps of a table', async () => {
    const stored = await storedModel(csvJob);
    const { output } = await run(stored, feeds);
    const predictor = await Predictor.load(encodeModel(stored));
    const expected = (await predictor.predict(rows)).map((p) => (p as { value: number }).value);
    expect(new Set(expected).size).toBe(3);
    for (const [i, y] of [...(output.data as Float32Array)].entries()) {
      expect(Math.abs(y - expected[i])).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected[i])));
    }
  });

  test.each(['standard', 'minmax'] as const)('a value in the units of the raw target (%s)', async (mode) => {
    const x = table({ x: { shape: [4] } });
    const y = { data: Float32Array.from({ length: 2 * ROWS }, (_, i) => 100 * i + 7), shape: [ROWS, 2] };
    const stored = await storedModel({
      data: { train: arrays({ x: x.x, y }, { normalize: { x: mode, y: mode } }) },
      model: sequential(dense(2)),
      loss: nn.meanSquaredError(),
      optimizer: nn.sgd({ lr: 0.1 }),
    } as unknown as Job);
    const { value } = await run(stored, feedsOf(x));
    const expected = await answers(stored, x);
    expect(Math.max(...expected)).toBeGreaterThan(100);
    for (const [i, v] of [...(value.data as Float32Array)].entries()) expect(v / expected[i]).toBeCloseTo(1, 5);
  });

  test('classes with probabilities, labels, and names in the metadata', async () => {
    const x = table({ x: { shape: [4] } });
    const labels = Int32Array.from({ length: ROWS }, (_, i) => i % 3);
    const stored = await storedModel({
      data: { train: arrays({ ...x, y: labels }) },
      model: sequential(dense(3)),
      loss: nn.crossEntropy(),
      optimizer: nn.sgd({ lr: 0.1 }),
    } as unknown as Job);
    const { probabilities, label, output } = await run(stored, feedsOf(x));
    expect(output.dims).toEqual([ROWS, 3]);
    const predictor = await Predictor.load(encodeModel(stored), { kind: 'classification' });
    const data = x.x.data;
    for (let i = 0; i < ROWS; i++) {
      const answer = await predictor.predict({ x: data.slice(4 * i, 4 * i + 4) });
      expect(Number(label.data[i])).toBe(answer.label);
      const own = [...(probabilities.data as Float32Array).slice(3 * i, 3 * i + 3)];
      for (const [k, p] of Object.values(answer.probabilities).entries())
        expect(Math.abs(own[k] - p)).toBeLessThan(1e-5);
    }
    expect(Buffer.from(encodeOnnx(stored).bytes).includes('["0","1","2"]')).toBe(true);
  });

  test('a small GPT: classes at every position', async () => {
    const y = { data: Int32Array.from({ length: 6 * ROWS }, (_, i) => i % 7), shape: [ROWS, 6] };
    const model = ({ x }: Readonly<Record<string, nn.Tensor>>) => {
      const words = nn.embedding(7, 8);
      const block = sequential(
        nn.positions(6),
        nn.residual(nn.layerNorm(), nn.multiHeadAttention({ heads: 2, causal: true })),
        nn.residual(nn.layerNorm(), dense(16, 'gelu'), dense(8)),
        nn.layerNorm(),
      );
      return words.attend(block({ x: words(x) } as never) as nn.Tensor);
    };
    const stored = await storedModel({
      data: { train: arrays({ ...tokens, y }) },
      model,
      loss: nn.crossEntropy(),
      optimizer: nn.sgd({ lr: 0.1 }),
    } as unknown as Job);
    const { probabilities, label } = await run(stored, feedsOf(tokens));
    expect([probabilities.dims, label.dims]).toEqual([
      [ROWS, 6, 7],
      [ROWS, 6],
    ]);
    const predictor = await Predictor.load(encodeModel(stored));
    const data = tokens.x.data;
    for (let i = 0; i < ROWS; i++) {
      const row = (await predictor.predict({ x: data.slice(6 * i, 6 * i + 6) })) as unknown as Classification[];
      for (const [t, answer] of row.entries()) {
        expect(Number(label.data[6 * i + t])).toBe(answer.label);
        const at = 7 * (6 * i + t);
        const own = [...(probabilities.data as Float32Array).slice(at, at + 7)];
        for (const [k, p] of Object.values(answer.probabilities).entries())
          expect(Math.abs(own[k] - p)).toBeLessThan(1e-5);
      }
    }
  });

  test('bytes, ranges and a probability', async () => {
    const pixels = Uint8Array.from({ length: 5 * ROWS }, (_, i) => (37 * i) % 256);
    const y = Int32Array.from({ length: ROWS }, (_, i) => i % 2);
    const stored = await storedModel({
      data: { train: arrays({ x: { data: pixels, shape: [ROWS, 5] }, y }) },
      model: sequential(dense(1)),
      loss: nn.binaryCrossEntropy(),
      optimizer: nn.sgd({ lr: 0.1 }),
    } as unknown as Job);
    const { probability } = await run(stored, { x: new ort.Tensor('float32', Float32Array.from(pixels), [ROWS, 5]) });
    const predictor = await Predictor.load(encodeModel(stored), { kind: 'binary' });
    for (let i = 0; i < ROWS; i++) {
      const answer = await predictor.predict({ x: pixels.slice(5 * i, 5 * i + 5) });
      expect(Math.abs((probability.data as Float32Array)[i] - answer.probability)).toBeLessThan(1e-5);
    }
  });
});

describe('what cannot be written says so', () => {
  const job = (model: (x: Readonly<Record<string, nn.Tensor>>) => nn.Tensor): Job =>
    ({
      data: { train: arrays({ ...flat, y: { data: new Float32Array(3 * ROWS), shape: [ROWS, 3] } }) },
      model,
      loss: nn.meanSquaredError(),
      optimizer: nn.sgd({ lr: 0.1 }),
    }) as unknown as Job;

  test('an op that is not known, by its name', async () => {
    const stored = await storedModel(
      job(({ x }) => ops.mul(end()(x), ops.reshape(ops.inTopK(x, ops.argmax(x), 2), [x.shape[0], 1]))),
    );
    expect(() => encodeOnnx(stored)).toThrow(LockstepError);
    expect(() => encodeOnnx(stored)).toThrow(/^op inTopK: expected an op that ONNX export knows/);
  });

  test('rows that are mixed', async () => {
    const scaled = await storedModel(job(({ x }) => end()(ops.mul(x, 1 / x.shape[0]))));
    expect(() => encodeOnnx(scaled)).toThrow(
      /^op scale: alpha: expected the same for any number of rows, got 0.125 at 8 rows/,
    );
  });
});
