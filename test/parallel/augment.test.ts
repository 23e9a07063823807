import { describe, expect, it } from 'vitest';
import { type Augmentation, checkAugmentations, parseAugmentations } from '../../src/data/augmentation.ts';
import { GEMM_SCRATCH_BYTES } from '../../src/kernels/table.ts';
import { compileKernels, instantiateKernels } from '../../src/kernels/wasm.ts';
import { augmentRows } from '../../src/parallel/augment.ts';
import { failure } from '../data/folder.ts';

const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });
const { module } = await compileKernels({ simd: 'simd128' });
const kernels = instantiateKernels(module, memory);
const batch = Math.ceil(kernels.heapBase / 64) * 64;
const scratch = batch + (1 << 20);
if (scratch + GEMM_SCRATCH_BYTES > memory.buffer.byteLength) throw new Error('too little memory');

type Image = readonly number[];

/** The rows `ids` of a data set whose row `id` is `image(id)`, augmented in one batch. */
function augmented(
  shape: readonly number[],
  image: (id: number) => Image,
  ids: readonly number[],
  augment: Augmentation & { zero?: number },
  epoch = 0,
  seed = 1,
): number[][] {
  const width = shape.reduce((a, b) => a * b, 1);
  const { zero = 0, ...options } = augment;
  const placed = { ...parseAugmentations({ x: options }).x, field: 'x', zero };
  const rows = new Float32Array(memory.buffer, batch, ids.length * width);
  for (const [i, id] of ids.entries()) rows.set(image(id), i * width);
  const field = { name: 'x', dtype: 'f32', shape: [ids.length, ...shape], offset: 0 } as const;
  const buffer = memory.buffer as SharedArrayBuffer;
  const run = augmentRows([placed], [field], { buffer, batch, scratch, kernels, ids: Int32Array.from(ids) }, seed);
  run(ids.length, epoch);
  return ids.map((_, i) => Array.from(rows.subarray(i * width, (i + 1) * width)));
}

/** Image `id` of 4 x 5 pixels with 2 channels, all numbers different. */
const [H, W, C] = [4, 5, 2];
const image = (id: number): Image => Array.from({ length: H * W * C }, (_, i) => 1 + id * 1000 + i);
const at = (pixels: Image, y: number, x: number, c: number) => pixels[(y * W + x) * C + c];
const build = (pixel: (y: number, x: number, c: number) => number): number[] =>
  Array.from({ length: H * W * C }, (_, i) => pixel(Math.floor(i / (W * C)), Math.floor(i / C) % W, i % C));
const ids = Array.from({ length: 200 }, (_, i) => i);

describe('augmentRows', () => {
  it('flips each image whole or not at all, half of them', () => {
    const rows = augmented([H, W, C], image, ids, { flip: 'horizontal' });
    let flipped = 0;
    for (const [i, row] of rows.entries()) {
      const mirrored = build((y, x, c) => at(image(ids[i]), y, W - 1 - x, c));
      if (row.join() === mirrored.join()) flipped += 1;
      else expect(row).toEqual(image(ids[i]));
    }
    expect(flipped).toBeGreaterThan(70);
    expect(flipped).toBeLessThan(130);
  });

  it('flips both ways by themselves', () => {
    const kinds = new Set<string>();
    for (const [i, row] of augmented([H, W, C], image, ids, { flip: 'both' }).entries()) {
      for (const [down, across] of [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
      ]) {
        const wanted = build((y, x, c) => at(image(ids[i]), down ? H - 1 - y : y, across ? W - 1 - x : x, c));
        if (row.join() === wanted.join()) kinds.add(`${i}:${down}${across}`);
      }
    }
    expect(kinds.size).toBe(ids.length); // each is one of the four
    expect(new Set([...kinds].map((k) => k.split(':')[1])).size).toBe(4);
  });

  it.each(['zero', 'edge', 'reflect'] as const)('shifts by every distance, padding %s', (padding) => {
    const zero = -7;
    const source = (j: number, n: number) => {
      if (j >= 0 && j < n) return j;
      if (padding === 'edge') return j < 0 ? 0 : n - 1;
      return j < 0 ? -j : 2 * n - 2 - j;
    };
    const inside = (y: number, x: number) => y >= 0 && y < H && x >= 0 && x < W;
    const distances = new Set<string>();
    for (const [i, row] of augmented([H, W, C], image, ids, { shift: 2, padding, zero }).entries()) {
      let found = false;
      for (let dy = -2; dy <= 2; dy++) {
        for (let dx = -2; dx <= 2; dx++) {
          const wanted = build((y, x, c) =>
            padding === 'zero' && !inside(y - dy, x - dx)
              ? zero
              : at(image(ids[i]), source(y - dy, H), source(x - dx, W), c),
          );
          if (row.join() !== wanted.join()) continue;
          found = true;
          distances.add(`${dy},${dx}`);
        }
      }
      expect(found).toBe(true);
    }
    expect(distances.size).toBe(25);
  });

  it('crops a part of at least the share, by bilinear interpolation', () => {
    const n = 9;
    const ramp = Array.from({ length: n * n }, (_, i) => i % n); // the number of the column
    const zooms: number[] = [];
    for (const row of augmented([n, n], () => ramp, ids, { crop: 0.5 })) {
      const line = row.slice(0, n);
      for (let y = 1; y < n; y++) expect(row.slice(y * n, (y + 1) * n)).toEqual(line);
      expect(Math.min(...line)).toBeGreaterThanOrEqual(0);
      expect(Math.max(...line)).toBeLessThanOrEqual(n - 1);
      const steps = line.slice(2, n - 1).map((v, i) => v - line[i + 1]); // a ramp stays a ramp, away from the border
      for (const step of steps) expect(step).toBeCloseTo(steps[0], 4);
      zooms.push(steps[0]);
    }
    expect(Math.min(...zooms)).toBeGreaterThanOrEqual(0.5 - 1e-5);
    expect(Math.min(...zooms)).toBeLessThan(0.55);
    expect(Math.max(...zooms)).toBeLessThanOrEqual(1 + 1e-5);
  });

  it('adds normal noise to fields of any shape', () => {
    const values = augmented([50], () => new Array<number>(50).fill(3), ids, { noise: 0.5 }).flat();
    const mean = values.reduce((a, b) => a + b) / values.length;
    const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
    expect(mean).toBeCloseTo(3, 1);
    expect(std).toBeCloseTo(0.5, 1);
    expect(new Set(values).size).toBeGreaterThan(9000);
  });

  it('does to a row what seed, epoch and row say, alone or among others', () => {
    const all: Augmentation = { flip: 'both', shift: 1, crop: 0.7, noise: 0.1, padding: 'edge' };
    const together = augmented([H, W, C], image, ids, all);
    for (const i of [0, 17, 199]) expect(augmented([H, W, C], image, [ids[i]], all)[0]).toEqual(together[i]);
    expect(augmented([H, W, C], image, [...ids].reverse(), all).reverse()).toEqual(together);
    expect(augmented([H, W, C], image, ids, all, 1)).not.toEqual(together);
    expect(augmented([H, W, C], image, ids, all, 0, 2)).not.toEqual(together);
  });
});

describe('the options', () => {
  const fields = [
    { name: 'x', dtype: 'f32', shape: [4, 4] },
    { name: 'v', dtype: 'f32', shape: [4] },
    { name: 'y', dtype: 'i32', shape: [] },
  ] as const;

  it.each([
    [{ x: { flop: 'horizontal' } }, /data\.augment\.x.*did you mean 'flip'/],
    [{ z: { noise: 1 } }, /a field among x, v, y/],
    [{ y: { noise: 1 } }, /an f32 field, got i32/],
    [{ v: { shift: 1 } }, /data\.augment\.v\.shift.*\[height, width\]/],
    [{ x: { shift: 4 } }, /fewer pixels than the image has \(4\)/],
    [{ x: { crop: 0 } }, /data\.augment\.x\.crop/],
    [{ x: { noise: -1 } }, /data\.augment\.x\.noise/],
  ])('%j are refused', async (augment, message) => {
    const error = await failure('E_OPTION', () => checkAugmentations(parseAugmentations(augment), fields));
    expect(error.message).toMatch(message);
  });
});
