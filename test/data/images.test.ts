import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { images } from '../../src/data/images.ts';
import { loadData } from '../../src/data/load.ts';
import { dense, flatten, sequential } from '../../src/nn/index.ts';
import { crossEntropy } from '../../src/nn/losses.ts';
import { adam } from '../../src/optim/adam.ts';
import { Predictor } from '../../src/predict/index.ts';
import { defineJob } from '../../src/train/job.ts';
import { train } from '../../src/train/train.ts';
import { philox } from '../fixtures/philox.ts';
import { column, field, rowsOf, values } from './columns.ts';
import { failure, temporaryFolder } from './folder.ts';

const { dir } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
type Format = 'png' | 'jpeg' | 'webp';

/** Pixels of a class: red or blue with some noise. */
function pixels(kind: 'red' | 'blue', seed: number, size = 4): Uint8Array {
  const random = philox(seed);
  return Uint8Array.from({ length: size * size * 3 }, (_, i) => {
    const strong = i % 3 === (kind === 'red' ? 0 : 2);
    return Math.floor((strong ? 180 : 20) + 60 * random());
  });
}

async function encoded(raw: Uint8Array, format: Format, size = 4, channels: 1 | 3 = 3): Promise<Buffer> {
  return sharp(raw, { raw: { width: size, height: size, channels } })
    .toFormat(format, { quality: 100 })
    .toBuffer();
}

async function folder(name: string, files: Record<string, Uint8Array>): Promise<string> {
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(join(dir, name, path, '..'), { recursive: true });
    writeFileSync(join(dir, name, path), bytes);
  }
  return name;
}

describe('images', () => {
  it('reads the pixels of lossless images as they were written, with a class for each folder', async () => {
    const made = [pixels('red', 1), pixels('red', 2), pixels('blue', 3)];
    const name = await folder('colours', {
      'red/a.png': await encoded(made[0], 'png'),
      'red/deep/b.PNG': await encoded(made[1], 'png'),
      'blue/c.png': await encoded(made[2], 'png'),
      'blue/.hidden': Uint8Array.of(1),
    });
    const data = await loadData({ train: images(name, { size: [4, 4], normalize: false }) }, options);
    expect(field(data, 'x')).toEqual({ name: 'x', dtype: 'f32', shape: [4, 4, 3] });
    expect(field(data, 'y')).toMatchObject({ dtype: 'i32', classNames: ['blue', 'red'] });
    expect(values(data.train, 'y')).toEqual([0, 1, 1]);
    expect(rowsOf(data.train, 'x')).toEqual([made[2], made[0], made[1]].map((p) => Array.from(p)));
    expect(column(data.train, 'x').data).toBeInstanceOf(Uint8Array);
    const standard = values((await loadData({ train: images(name, { size: [4, 4] }) }, options)).train, 'x');
    expect(standard.reduce((a, b) => a + b) / standard.length).toBeCloseTo(0, 4);
  });

  it('reads JPEG and WebP, brings every image to the size, makes grey of colour', async () => {
    const flat = (value: number, size: number) => new Uint8Array(size * size * 3).fill(value);
    const name = await folder('formats', {
      'a/1.jpg': await encoded(flat(200, 8), 'jpeg', 8),
      'a/2.webp': await encoded(flat(100, 6), 'webp', 6),
      'b/3.png': await encoded(new Uint8Array(9).fill(50), 'png', 3, 1),
    });
    const data = await loadData({ train: images(name, { size: [5, 4], channels: 1, normalize: false }) }, options);
    expect(field(data, 'x').shape).toEqual([5, 4]);
    const rows = rowsOf(data.train, 'x');
    for (const [i, value] of [200, 100, 50].entries()) {
      for (const pixel of rows[i]) expect(Math.abs(pixel - value)).toBeLessThan(3);
    }
    const unit = await loadData({ train: images(name, { size: [2, 2], normalize: 'unit' }) }, options);
    expect(field(unit, 'x').shape).toEqual([2, 2, 3]);
    expect(values(unit.train, 'x')[0]).toBeCloseTo(200 / 255, 1);
  });

  it('names the file that is broken, and folders without images', async () => {
    const whole = await encoded(pixels('red', 1, 16), 'png', 16);
    await folder('broken', { 'a/good.png': whole, 'a/cut.png': whole.subarray(0, 120) });
    const cut = await failure('E_DATA_FORMAT', () => loadData({ train: images('broken', { size: [4, 4] }) }, options));
    expect(cut.message).toMatch(/broken\/a\/cut\.png: expected a whole PNG, JPEG or WebP image, got/);
    await folder('text', { 'a/notes.txt': Buffer.from('no image') });
    const text = await failure('E_DATA_FORMAT', () => loadData({ train: images('text', { size: [4, 4] }) }, options));
    expect(text.message).toMatch(/text\/a\/notes\.txt.*another kind/);
    await folder('fake', { 'a/fake.jpg': Buffer.from('GIF89a is no JPEG') });
    await failure('E_DATA_FORMAT', () => loadData({ train: images('fake', { size: [4, 4] }) }, options));
    await folder('loose', { 'x.png': whole });
    const loose = await failure('E_DATA_EMPTY', () => loadData({ train: images('loose', { size: [4, 4] }) }, options));
    expect(loose.message).toMatch(/images without a class/);
    await failure('E_DATA_MISSING', () => loadData({ train: images('nowhere', { size: [4, 4] }) }, options));
    expect((await failure('E_OPTION', () => images('a', { size: [0, 4] }))).message).toMatch(/size/);
  });

  it('gives a model that takes paths, bytes of files and pixels, and answers with class names', async () => {
    const files: Record<string, Uint8Array> = {};
    for (let i = 0; i < 12; i++) {
      for (const kind of ['red', 'blue'] as const)
        files[`${kind}/${i}.png`] = await encoded(pixels(kind, 20 + i), 'png');
    }
    const source = images(join(dir, await folder('train', files)), { size: [4, 4] });
    const job = defineJob({
      data: { train: source },
      model: sequential(flatten(), dense(2)),
      loss: crossEntropy(),
      optimizer: adam({ lr: 0.05 }),
      batchSize: 8,
      epochs: 10,
    });
    const runDir = join(dir, 'run');
    await train(job, { workers: 1, runDir });
    const predictor = await Predictor.load(runDir, { kind: 'classification' });
    try {
      const raw = pixels('red', 99);
      const png = await encoded(raw, 'png');
      writeFileSync(join(dir, 'new.png'), png);
      const answers = await predictor.predict([{ image: join(dir, 'new.png') }, { image: png }, { image: raw }]);
      expect(answers.map((a) => a.className)).toEqual(['red', 'red', 'red']);
      expect(answers[1]).toEqual(answers[0]);
      expect(answers[2]).toEqual(answers[0]);
      const wrong = await failure('E_DATA_FORMAT', () => predictor.predict({ image: Uint8Array.of(1, 2, 3) }));
      expect(wrong.message).toMatch(/row, column "image": expected a whole PNG/);
    } finally {
      predictor.dispose();
    }
  });
});
