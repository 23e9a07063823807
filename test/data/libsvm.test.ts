import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { adam, crossEntropy, defineJob, dense, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { Predictor } from 'lockstep/predict';
import { describe, expect, it } from 'vitest';
import type { Split } from '../../src/data/contract.ts';
import { type LibsvmOptions, libsvm } from '../../src/data/libsvm.ts';
import { loadData } from '../../src/data/load.ts';
import { pickRows } from '../../src/data/pick.ts';
import { writeSparseRow } from '../../src/data/sparse.ts';
import { applyTransforms } from '../../src/data/transforms.ts';
import { LockstepError } from '../../src/errors.ts';
import { philox } from '../fixtures/philox.ts';
import { field, values } from './columns.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
const load = (text: string | Uint8Array, given: LibsvmOptions = {}) =>
  loadData({ train: libsvm(write('a.svm', text), given) }, options);

/** The dense rows of the sparse field x. */
function denseRows(split: Split | undefined): number[][] {
  if (split?.kind !== 'table' || !split.sparse) throw new Error('not sparse');
  const [x] = split.sparse;
  return Array.from({ length: split.size }, (_, row) => {
    const out = new Float32Array(x.shape[0]).fill(9);
    writeSparseRow(x, row, out, 0, out.length);
    return Array.from(out);
  });
}

describe('libsvm', () => {
  it('reads labels and index:value pairs, counted from 1, with comments and blank lines', async () => {
    const data = await load('+1 1:0.5 3:-2 # a comment\n\n-1\n+1 2:1e-3 4:0\r\n');
    expect(field(data, 'x')).toEqual({ name: 'x', dtype: 'f32', shape: [4] });
    expect(denseRows(data.train)).toEqual([
      [0.5, 0, -2, 0],
      [0, 0, 0, 0],
      [0, Math.fround(1e-3), 0, 0],
    ]);
    expect(field(data, 'y')).toMatchObject({ dtype: 'i32', classNames: ['-1', '1'] });
    expect(values(data.train, 'y')).toEqual([1, 0, 1]);
    const [x] = data.train.kind === 'table' ? (data.train.sparse ?? []) : [];
    expect(x.values.length).toBe(3); // zeros take no room
  });

  it('counts from 0 on request, reads gzip, numbers to predict, a given number of features', async () => {
    const data = await load(gzipSync('0.5 0:1\n1.5 2:1\n'), { base: 0, features: 5 });
    expect(field(data, 'x').shape).toEqual([5]);
    expect(field(data, 'y')).toEqual({ name: 'y', dtype: 'f32', shape: [] });
    expect(denseRows(data.train)[1]).toEqual([0, 0, 1, 0, 0]);
  });

  it('says file, line and feature of what is wrong', async () => {
    const wrong = async (code: LockstepError['code'], text: string, pattern: RegExp, given: LibsvmOptions = {}) =>
      expect((await failure(code, () => load(text, given))).message).toMatch(pattern);
    await wrong('E_DATA_VALUE', '1 1:1\nx 1:1\n', /a\.svm line 2: expected a label that is a number, got "x"/);
    await wrong('E_DATA_VALUE', '1 1:1\n1,2 1:1\n', /line 2.*several labels/);
    await wrong('E_DATA_FORMAT', '1 1:1 abc\n', /line 1: expected index:value, got "abc"/);
    await wrong('E_DATA_FORMAT', '1 qid:3 1:1\n', /qid/);
    await wrong('E_DATA_VALUE', '1 7:nan\n', /line 1, feature 7: expected a finite number.* got "nan"/);
    await wrong('E_DATA_VALUE', '1 7:1e60\n', /fits f32/);
    await wrong('E_DATA_VALUE', '1 0:1\n', /feature 0: expected an index of at least 1.*base: 0/);
    await wrong('E_DATA_FORMAT', '1 2:1 2:2\n', /feature 2: expected indices that ascend, got 2 after 2/);
    await wrong('E_DATA_VALUE', '1 9:1\n', /at most 5/, { features: 5 });
    await wrong('E_DATA_EMPTY', '# nothing\n\n', /no line with a label/);
    const test = write('test.svm', '1 1:1\n1 8:1\n');
    const wide = await failure('E_DATA_VALUE', () =>
      loadData({ train: libsvm(write('a.svm', '1 1:1\n2 3:1\n')), test: libsvm(test) }, options),
    );
    expect(wide.message).toMatch(/test\.svm line 2: expected features of the training rows \(3 of them\)/);
    const label = await failure('E_LABEL', () =>
      loadData({ train: libsvm('a.svm'), test: libsvm(write('test.svm', '1 1:1\n7 1:1\n')) }, options),
    );
    expect(label.message).toMatch(/test\.svm line 2, label/);
  });

  it('gives back any rows, whole and picked', async () => {
    const row = fc.dictionary(fc.integer({ min: 1, max: 30 }).map(String), fc.integer({ min: -9, max: 9 }), {
      maxKeys: 8,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 2, maxLength: 12 }), async (rows) => {
        const lines = rows.map((r, i) => {
          const pairs = Object.entries(r).sort(([a], [b]) => Number(a) - Number(b));
          return `${i} ${pairs.map(([k, v]) => `${k}:${v}`).join(' ')}`;
        });
        const data = await load(lines.join('\n'), { features: 30 });
        const wanted = rows.map((r) => Array.from({ length: 30 }, (_, j) => r[String(j + 1)] ?? 0));
        expect(denseRows(data.train)).toEqual(wanted.map((r) => r.map((v) => v + 0)));
        const ids = Int32Array.of(1, 0, 1);
        expect(denseRows(pickRows(data.train, ids))).toEqual(Array.from(ids, (i) => wanted[i].map((v) => v + 0)));
        const raw = data.examples?.[0] ?? {};
        expect(Array.from(applyTransforms(data.transforms, raw, ['x']).x)).toEqual(wanted[0].map((v) => v + 0));
      }),
      { numRuns: 60 },
    );
  });

  it('loads or explains any bytes', async () => {
    const line = fc.string({ unit: fc.constantFrom('1', '2', ':', ' ', '-', '.', 'e', '#', '\n', 'x'), maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(line, async (text) => {
        const outcome = await load(text).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(LockstepError);
      }),
      { numRuns: 150 },
    );
  });

  it('trains to the bytes of the same rows in dense form, and predicts from pairs', async () => {
    const random = philox(4);
    const width = 40;
    const rows = Array.from({ length: 200 }, () => {
      const y = random() < 0.5 ? 0 : 1;
      const x = new Array<number>(width).fill(0);
      for (let k = 0; k < 5; k++) x[Math.floor(random() * 20) + 20 * y] = Math.fround(1 + random());
      return { x, y };
    });
    const line = ({ x, y }: (typeof rows)[number]) =>
      `${y} ${x.flatMap((v, j) => (v === 0 ? [] : [`${j + 1}:${v}`])).join(' ')}`;
    writeFileSync(join(dir, 'train.svm'), rows.map(line).join('\n'));
    const common = {
      model: sequential(dense(8, 'relu'), dense(2)),
      loss: crossEntropy(),
      optimizer: adam({ lr: 0.01 }),
      batchSize: 64,
      shards: 2,
      epochs: 4,
    };
    const sparse = defineJob({
      data: { train: libsvm(join(dir, 'train.svm'), { features: width, task: 'classification' }), validation: 0.2 },
      ...common,
    });
    const data = { x: rows.map((r) => r.x), y: Int32Array.from(rows, (r) => r.y) };
    const dense_ = defineJob({ data: { train: arrays(data), validation: 0.2 }, ...common });
    const runDir = join(dir, 'run');
    const a = await train(sparse, { workers: 2, runDir });
    const b = await train(dense_, { workers: 1 });
    expect(a.parametersSha256).toBe(b.parametersSha256);
    expect(a.metrics['val.loss']).toBe(b.metrics['val.loss']);
    const predictor = await Predictor.load(runDir);
    const [asPairs, asNumbers] = await predictor.predict([
      { x: { 3: 1.5, 7: 1 } },
      { x: rowOf(width, { 2: 1.5, 6: 1 }) },
    ]);
    expect(asPairs).toEqual(asNumbers);
    const beyond = await failure('E_DATA_VALUE', () => predictor.predict({ x: { 41: 1 } }));
    expect(beyond.message).toMatch(/column "x": expected indices from 1 to 40, got "41"/);
    predictor.dispose();
  });
});

function rowOf(width: number, elements: Readonly<Record<number, number>>): number[] {
  return Array.from({ length: width }, (_, i) => elements[i] ?? 0);
}
