import { execFile } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { adam, crossEntropy, defineJob, dense, embedding, flatten, sequential, train } from 'lockstep';
import { csv, idx, images, libsvm, loadData, npy, parquet, text } from 'lockstep/data';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { Split } from '../../src/data/contract.ts';
import { pickRows } from '../../src/data/pick.ts';
import { readRows } from '../../src/data/stream.ts';
import { dataBytes, namedSplits } from '../../src/train/place.ts';
import { column, rowsOf } from '../data/columns.ts';
import { failure, idxBytes, temporaryFolder } from '../data/folder.ts';
import { philox } from '../fixtures/philox.ts';

const execute = promisify(execFile);
const { dir } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
const ROWS = 6000;
const random = philox(9);
/** Sorted by class: without mixing, batches would be of one class. */
const table = Array.from({ length: ROWS }, (_, i) => {
  const kind = Math.floor((3 * i) / ROWS);
  return { a: Math.fround(kind + random()), b: Math.fround(random() - kind), c: 'uvw'[i % 3], y: 'pqr'[kind] };
});
writeFileSync(join(dir, 'a.csv'), `a,b,c,y\n${table.map((r) => `${r.a},${r.b},${r.c},${r.y}`).join('\n')}\n`);
const source = (memory?: string) => csv(join(dir, 'a.csv'), { target: 'y', ...(memory ? { memory } : {}) });

function job(memory?: string, lr = 1e-2) {
  return defineJob({
    data: { train: source(memory), validation: 0.2, test: 0.1 },
    model: sequential(dense(8, 'tanh'), dense(3)),
    loss: crossEntropy(),
    optimizer: adam({ lr }),
    batchSize: 96,
    shards: 4,
    epochs: 2,
    seed: 3,
  });
}

async function outcome(j: ReturnType<typeof job>, workers: number, more: object = {}) {
  const { parametersSha256, metrics, history } = await train(j, { workers, ...more });
  return { parametersSha256, metrics, losses: Array.from(history, (r) => r.loss) };
}

const all = (split: Split | undefined) => {
  if (split?.kind !== 'streamed') throw new Error('not on disk');
  return readRows(
    split,
    Int32Array.from({ length: split.size }, (_, i) => i),
  );
};

/** A split that may lie on disk has the rows of one in memory. */
function sameRows(disk: Split | undefined, memory: Split | undefined): void {
  if (!disk || !memory) throw new Error('no rows');
  expect(disk.size).toBe(memory.size);
  const rows = Int32Array.from({ length: memory.size }, (_, i) => i);
  for (const field of ['x', 'y'])
    expect(column(pickRows(disk, rows), field).data).toEqual(column(pickRows(memory, rows), field).data);
}

describe('data larger than its memory', () => {
  test('gives the same bytes on 1, 2 and 4 workers', async () => {
    const one = await outcome(job('64KB'), 1);
    expect(await outcome(job('64KB'), 2)).toEqual(one);
    expect(await outcome(job('64KB'), 4)).toEqual(one);
    expect(one.metrics['test.accuracy']).toBeGreaterThan(0.9);
  });

  test('goes on after a stop as if there had been none', async () => {
    const whole = await outcome(job('64KB'), 1);
    const stop = new AbortController();
    const runDir = join(dir, 'run');
    const halted = { ...job('64KB'), callbacks: { onSteps: () => stop.abort() } };
    await train(halted, { workers: 2, runDir, signal: stop.signal });
    const resumed = await train(job('64KB'), { workers: 1, runDir, resume: 'auto' });
    expect(resumed.parametersSha256).toBe(whole.parametersSha256);
  });

  test('comes through the death of a worker, and ends where the reading thread is gone', async () => {
    const threads: Worker[] = [];
    const watch = (message: unknown) => void threads.push((message as { worker: Worker }).worker);
    const long = { ...job('64KB'), epochs: 6 };
    const whole = await outcome(long, 2);
    const killing = (which: number) => {
      let dead = false;
      const onSteps = () => {
        if (!dead) void threads[which]?.terminate();
        dead = true;
      };
      return { ...long, callbacks: { onSteps } };
    };
    channel('worker_threads').subscribe(watch);
    try {
      expect(await outcome(killing(0), 2)).toEqual(whole);
      threads.length = 0;
      // A pool of two workers, then the thread that reads.
      await failure('E_DATA_SOURCE', () => train(killing(2), { workers: 2 }));
    } finally {
      channel('worker_threads').unsubscribe(watch);
    }
  });

  test('is the data that would be in memory: rows, transforms, validation and test metrics', async () => {
    const spec = { validation: 0.2, test: 0.1 };
    const streamed = await loadData({ train: source('64KB'), ...spec }, options);
    const inMemory = await loadData({ train: source(), ...spec }, options);
    expect(streamed.transforms).toEqual(inMemory.transforms);
    expect(streamed.examples).toEqual(inMemory.examples);
    for (const field of ['x', 'y']) {
      expect(rowsOf(all(streamed.train), field)).toEqual(rowsOf(inMemory.train, field));
    }
    expect(streamed.test?.size).toBe(inMemory.test?.size);
    // A rate that changes no parameter: what is evaluated are the same initial values.
    const [a, b] = [
      await train(job('64KB', 1e-30), { workers: 1 }),
      await train(job(undefined, 1e-30), { workers: 2 }),
    ];
    for (const name of ['val.loss', 'val.accuracy', 'test.loss']) expect(a.metrics[name]).toBe(b.metrics[name]);
    expect(a.loss).toBeCloseTo(b.loss, 6); // other batches, the same rows
  });

  test('takes no more of the arena than the source allows, and none if it fits', async () => {
    const streamed = await loadData({ train: source('64KB') }, options);
    expect(streamed.train.kind).toBe('streamed');
    expect(dataBytes(namedSplits(streamed))).toBeLessThanOrEqual(64_000);
    expect((await loadData({ train: source('10MB') }, options)).train.kind).toBe('table');
    const error = await failure('E_MEMORY', () => train({ ...job('64KB'), batchSize: 2000 }, { workers: 1 }));
    expect(error.message).toMatch(/windows of at least a batch \(2000 rows\)/);
    await failure('E_OPTION', () => source('many'));
  });

  test('is loaded in memory that does not grow with the file', async () => {
    const sizes = [2, 260]; // MB
    const peaks = await Promise.all(
      sizes.map(async (megabytes) => {
        const [file, rows] = [join(dir, `${megabytes}.npy`), megabytes * 1000];
        const head = Buffer.alloc(128, ' ');
        head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]);
        head.write(`{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, 250), }`, 10);
        writeFileSync(file, head);
        truncateSync(file, head.length + rows * 1000); // zeros that take no room
        const code = `import { readFileSync } from 'node:fs';
          import { loadData, npy } from 'lockstep/data';
          const source = npy({ x: ${JSON.stringify(file)} }, { memory: '1MB' });
          const { train } = await loadData({ train: source, validation: 0.5 }, { seed: 1, baseDir: '.' });
          const peak = process.platform === 'linux'
            ? Number(/VmHWM:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
            : process.resourceUsage().maxRSS;
          process.stdout.write(JSON.stringify([train.kind, peak / 1024]));`;
        const cwd = new URL('../..', import.meta.url);
        const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code], { cwd });
        const [kind, peak]: [string, number] = JSON.parse(stdout);
        expect(kind).toBe('streamed');
        return peak;
      }),
    );
    expect(peaks[1] - peaks[0]).toBeLessThan(90); // buffers of reading: as much for any file
  });

  test('says line and column of what is wrong, as in memory', async () => {
    const lines = table.map((r) => `${r.a},${r.b},${r.c},${r.y}`);
    lines[5000] = 'n.a.,1,u,p';
    writeFileSync(join(dir, 'bad.csv'), `a,b,c,y\n${lines.join('\n')}\n`);
    const error = await failure('E_DATA_VALUE', () =>
      loadData({ train: csv('bad.csv', { target: 'y', memory: '64KB' }) }, options),
    );
    expect(error.message).toMatch(/bad\.csv line 5002, column "a": expected a finite number, got "n\.a\."/);
  });

  test('comes from Parquet and NumPy files too', async () => {
    const columnData = [
      { name: 'a', data: table.map((r) => r.a), type: 'FLOAT' as const },
      { name: 'b', data: table.map((r) => r.b), type: 'FLOAT' as const },
      { name: 'c', data: table.map((r) => r.c), type: 'STRING' as const },
      { name: 'y', data: table.map((r) => r.y), type: 'STRING' as const },
    ];
    writeFileSync(join(dir, 'a.parquet'), new Uint8Array(parquetWriteBuffer({ columnData, rowGroupSize: 1000 })));
    const fromCsv = await loadData({ train: source('64KB') }, options);
    const fromParquet = await loadData({ train: parquet('a.parquet', { target: 'y', memory: '64KB' }) }, options);
    expect(rowsOf(all(fromParquet.train), 'x')).toEqual(rowsOf(all(fromCsv.train), 'x'));

    const bytes = Uint8Array.from({ length: 3000 * 16 }, (_, i) => (i * 7) % 251);
    const head = Buffer.alloc(128, ' ');
    head.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 118, 0]);
    head.write("{'descr': '|u1', 'fortran_order': False, 'shape': (3000, 4, 4), }", 10);
    writeFileSync(join(dir, 'x.npy'), Buffer.concat([head, bytes]));
    const npys = (memory?: string) =>
      loadData(
        { train: npy({ x: 'x.npy' }, { normalize: { x: 'standard' }, ...(memory ? { memory } : {}) }) },
        options,
      );
    const [paged, whole] = [await npys('64KB'), await npys()];
    expect(paged.transforms).toEqual(whole.transforms);
    expect(column(all(paged.train), 'x').data).toEqual(column(whole.train, 'x').data);
  });

  test.each([
    ['bytes', 8, {}],
    ['integers', 11, { normalize: 'unit' as const }],
    ['floats, compressed', 13, {}],
  ])('comes from IDX files: %s', async (kind, type, more) => {
    const zipped = kind.includes('compressed');
    const file = (name: string, bytes: Uint8Array) => {
      writeFileSync(join(dir, name), zipped ? gzipSync(bytes) : bytes);
      return name;
    };
    const items = Array.from({ length: 3000 * 16 }, (_, i) => (i * 7) % 251);
    const x = file(`x-${type}`, idxBytes(type, [3000, 4, 4], items));
    const y = file(
      `y-${type}`,
      idxBytes(
        8,
        [3000],
        Array.from({ length: 3000 }, (_, i) => i % 7),
      ),
    );
    const load = (memory?: string) =>
      loadData({ train: idx(x, y, { ...more, ...(memory && { memory }) }), validation: 0.2 }, options);
    const [paged, whole] = [await load('64KB'), await load()];
    expect(paged.transforms).toEqual(whole.transforms);
    expect(paged.examples).toEqual(whole.examples);
    for (const name of ['train', 'validation'] as const) sameRows(paged[name], whole[name]);
  });

  test.each([
    ['characters', 1],
    ['words', 3],
    ['bytes', 16],
    ['characters', 20],
  ] as const)('comes from texts, whose rows overlap: %s, a row every %i', async (tokens, stride) => {
    const words = ['the', 'naïve', '🙂', "don't", '42', 'so'];
    const content = Array.from({ length: 12_000 }, () => words[Math.floor(random() * words.length)]).join(' ');
    writeFileSync(join(dir, 'a.txt'), content);
    const load = (memory?: string) => {
      const train = text('a.txt', { tokens, length: 16, stride, ...(memory && { memory }) });
      return loadData({ train, validation: 0.2, test: 0.1 }, options);
    };
    const [paged, whole] = [await load('64KB'), await load()];
    expect(paged.transforms).toEqual(whole.transforms);
    expect(paged.examples).toEqual(whole.examples);
    expect(dataBytes(namedSplits(paged).filter(([name]) => name === 'train'))).toBeLessThanOrEqual(64_000);
    expect(paged.train.kind).toBe('streamed');
    for (const name of ['train', 'validation', 'test'] as const) sameRows(paged[name], whole[name]);
  });

  test('a text on disk gives the same bytes on any number of workers, and the rows of the text', async () => {
    writeFileSync(join(dir, 'b.txt'), 'abcdefghij'.repeat(4000));
    const job = (memory: string | undefined, steps: number) =>
      defineJob({
        data: { train: text(join(dir, 'b.txt'), { length: 8, ...(memory && { memory }) }), validation: 0.1 },
        model: ({ x }, info) => dense(info.x.size ?? 0)(embedding(info.x.size ?? 0, 8)(x)),
        loss: crossEntropy(),
        optimizer: adam({ lr: 0.02 }),
        batchSize: 64,
        shards: 4,
        steps,
        seed: 2,
      });
    const one = await train(job('64KB', 600), { workers: 1 }); // more than an epoch
    expect((await train(job('64KB', 600), { workers: 2 })).parametersSha256).toBe(one.parametersSha256);
    expect(one.metrics['val.loss']).toBeLessThan(0.01); // each letter tells the next: windows that mix rows up would not
    const still = (memory?: string) => train({ ...job(memory, 1), optimizer: adam({ lr: 1e-30 }) }, { workers: 1 });
    expect((await still('64KB')).metrics['val.loss']).toBe((await still()).metrics['val.loss']);
  });

  test('comes from sparse rows, however unequal, as the rows that would be in memory', async () => {
    const lines = Array.from({ length: 3000 }, (_, i) => {
      const count = i % 100 === 0 ? 40 : Math.floor(5 * random());
      const indices = new Set(Array.from({ length: count }, () => 1 + Math.floor(200 * random())));
      const pairs = [...indices].sort((a, b) => a - b).map((index) => `${index}:${random().toFixed(3)}`);
      return `${indices.has(7) || i % 3 === 0 ? 1 : -1} ${pairs.join(' ')}`;
    });
    writeFileSync(join(dir, 'a.svm'), `${lines.join('\n')}\n`);
    const source = (memory?: string) => libsvm(join(dir, 'a.svm'), { features: 200, ...(memory && { memory }) });
    const load = (memory?: string) => loadData({ train: source(memory), validation: 0.2 }, options);
    const [paged, whole, fits] = [await load('64KB'), await load(), await load('10MB')];
    expect(paged.transforms).toEqual(whole.transforms);
    expect(paged.examples).toEqual(whole.examples);
    expect(paged.train.kind).toBe('streamed');
    expect(dataBytes(namedSplits(paged).filter(([name]) => name === 'train'))).toBeLessThanOrEqual(64_000);
    const sparseOf = (split: Split | undefined) => {
      if (!split) throw new Error('no rows');
      const picked = pickRows(
        split,
        Int32Array.from({ length: split.size }, (_, i) => i),
      );
      return picked.kind === 'table' ? [picked.sparse, picked.columns] : undefined;
    };
    for (const name of ['train', 'validation'] as const) {
      expect(sparseOf(paged[name])).toEqual(sparseOf(whole[name]));
      expect(sparseOf(fits[name])).toEqual(sparseOf(whole[name]));
    }
    const job = (memory: string | undefined, lr: number, epochs: number) =>
      defineJob({
        data: { train: source(memory), validation: 0.2 },
        model: sequential(dense(2)),
        loss: crossEntropy(),
        optimizer: adam({ lr }),
        batchSize: 48,
        shards: 4,
        epochs,
      });
    const one = await train(job('64KB', 0.02, 3), { workers: 1 });
    expect((await train(job('64KB', 0.02, 3), { workers: 3 })).parametersSha256).toBe(one.parametersSha256);
    const [a, b] = [
      await train(job('64KB', 1e-30, 1), { workers: 2 }),
      await train(job(undefined, 1e-30, 1), { workers: 1 }),
    ];
    expect(a.metrics['val.loss']).toBe(b.metrics['val.loss']);
    expect(a.loss).toBeCloseTo(b.loss, 6); // other batches, the same rows
    writeFileSync(join(dir, 'wide.svm'), '1 3:1\n1 201:1\n');
    const wide = { train: source('64KB'), validation: libsvm(join(dir, 'wide.svm'), { memory: '64KB' }) };
    expect((await failure('E_DATA_VALUE', () => loadData(wide, options))).message).toMatch(
      /wide\.svm line 2: .*200 of them/,
    );
  });

  test('comes from folders of images, as the pixels and classes that would be in memory', async () => {
    const colours = ['red', 'green', 'blue'];
    for (const [c, name] of colours.entries()) {
      mkdirSync(join(dir, 'photos', name), { recursive: true });
      for (let i = 0; i < 10; i++) {
        const background = { r: 0, g: 0, b: 0, [name[0]]: 120 + 8 * i + c };
        const bytes = await sharp({ create: { width: 4, height: 4, channels: 3, background } })
          .png()
          .toBuffer();
        writeFileSync(join(dir, 'photos', name, `${i}.png`), bytes);
      }
    }
    const source = (memory?: string) => images(join(dir, 'photos'), { size: [40, 40], ...(memory ? { memory } : {}) });
    const load = (memory?: string) => loadData({ train: source(memory), validation: 0.2 }, options);
    const [paged, whole] = [await load('128KB'), await load()];
    expect(paged.transforms).toEqual(whole.transforms);
    expect(paged.examples).toEqual(whole.examples);
    for (const field of ['x', 'y']) {
      expect(rowsOf(all(paged.train), field)).toEqual(rowsOf(whole.train, field));
    }
    const job = defineJob({
      data: { train: source('128KB'), validation: 0.2, augment: { x: { flip: 'horizontal' } } },
      model: sequential(flatten(), dense(3)),
      loss: crossEntropy(),
      optimizer: adam({ lr: 1e-3 }),
      batchSize: 4,
      shards: 2,
      epochs: 6,
    });
    const one = await train(job, { workers: 1 });
    expect((await train(job, { workers: 2 })).parametersSha256).toBe(one.parametersSha256);
    expect(one.metrics['val.accuracy']).toBe(1);
  });
});
