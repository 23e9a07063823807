import type { ParsedAugmentation } from '../data/augmentation.ts';
import type { Field } from '../graph/program.ts';
import { GEMM_SCRATCH_BYTES, type KernelTable } from '../kernels/table.ts';
import { type Gather, purposeKey, RowRandom } from './gather.ts';

/** An augmentation of a field of the training split. */
export interface PlacedAugmentation extends ParsedAugmentation {
  readonly field: string;
  /** What a shift with padding 'zero' writes: the number that a zero byte becomes. */
  readonly zero: number;
}

/** Memory of the worker that augments. */
export interface AugmentMemory {
  readonly buffer: SharedArrayBuffer;
  /** Address of the batch region. */
  readonly batch: number;
  /** The worker's id list. */
  readonly ids: Int32Array;
  /** Free while rows are gathered; GEMM_SCRATCH_BYTES. */
  readonly scratch: number;
  readonly kernels: KernelTable;
}

/**
 * Changes the rows of a batch in place, after they were gathered: a function of (seed, epoch, row id), whoever computes it. Allocates
 * nothing when it runs.
 */
export function augmentRows(
  augmentations: readonly PlacedAugmentation[],
  fields: readonly Field[],
  memory: AugmentMemory,
  seed: number,
): Gather {
  const changes = augmentations.flatMap((augmentation, index) => {
    const field = fields.find((f) => f.name === augmentation.field);
    if (!field) return []; // the model does not read it
    const { crop, flip, shift, noise } = augmentation;
    const moves =
      crop < 1 || flip !== undefined || shift > 0 ? [moveImages(augmentation, field, memory, seed, index)] : [];
    return noise > 0 ? [...moves, addNoise(noise, field, memory, seed, index)] : moves;
  });
  return (rows, epoch) => {
    for (let i = 0; i < changes.length; i++) changes[i](rows, epoch);
  };
}

/** Normal noise: the kernel's own stream, counter (element, row id, epoch, field). */
function addNoise(std: number, field: Field, memory: AugmentMemory, seed: number, index: number): Gather {
  const { kernels, scratch, ids } = memory;
  const [key0, key1] = purposeKey(seed, 'augment noise');
  const width = field.shape.slice(1).reduce((a, b) => a * b, 1);
  const most = GEMM_SCRATCH_BYTES / 4;
  return (rows, epoch) => {
    for (let row = 0; row < rows; row++) {
      for (let first = 0; first < width; first += most) {
        const count = Math.min(most, width - first);
        const at = memory.batch + field.offset + 4 * (row * width + first);
        kernels.randomNormal(scratch, count, key0, key1, ids[row], epoch, index, first, 0, std);
        kernels.addPartials(at, at, scratch, count);
      }
    }
  };
}

/** Where the numbers of an axis come from: out[i] = in[low[i]] + share[i] (in[high[i]] - in[low[i]]); low -1 is padding. */
interface Axis {
  readonly low: Int32Array;
  readonly high: Int32Array;
  readonly share: Float64Array;
}

const axisOf = (length: number): Axis => ({
  low: new Int32Array(length),
  high: new Int32Array(length),
  share: new Float64Array(length),
});

/** Crop, flip and shift in one pass: each axis by itself, from the place in the result back to the place in the image. */
function moveImages(
  { crop, flip, shift, padding, zero }: PlacedAugmentation,
  field: Field,
  { buffer, batch, ids }: AugmentMemory,
  seed: number,
  index: number,
): Gather {
  const [, height, width, channels = 1] = field.shape;
  const line = width * channels;
  const size = height * line;
  const images = new Float32Array(buffer, batch + field.offset, field.shape[0] * size);
  const image = new Float32Array(size);
  const random = new RowRandom(seed, `augment ${index}`);
  const [down, across] = [axisOf(height), axisOf(width)];
  const flipsDown = flip === 'vertical' || flip === 'both';
  const flipsAcross = flip === 'horizontal' || flip === 'both';
  const draw = (axis: Axis, flips: boolean): void => {
    // As many numbers for every row, whatever is drawn: options do not shift the stream of one another.
    const [scale, place, mirror, way] = [random.next(), random.next(), random.next(), random.next()];
    const share = crop + (1 - crop) * scale;
    const distance = Math.floor(way * (2 * shift + 1)) - shift;
    fillAxis(axis, share, place * (1 - share), flips && mirror < 0.5, distance, padding);
  };
  return (rows, epoch) => {
    for (let row = 0; row < rows; row++) {
      random.start(epoch, ids[row]);
      draw(down, flipsDown);
      draw(across, flipsAcross);
      const base = row * size;
      for (let i = 0; i < size; i++) image[i] = images[base + i];
      for (let y = 0; y < height; y++) {
        const top = down.low[y] * line;
        const bottom = down.high[y] * line;
        const v = down.share[y];
        for (let x = 0, out = base + y * line; x < width; x++, out += channels) {
          const left = across.low[x] * channels;
          const right = across.high[x] * channels;
          if (top < 0 || left < 0) {
            for (let c = 0; c < channels; c++) images[out + c] = zero;
            continue;
          }
          const u = across.share[x];
          if (u === 0 && v === 0) {
            for (let c = 0; c < channels; c++) images[out + c] = image[top + left + c];
            continue;
          }
          for (let c = 0; c < channels; c++) {
            const a = image[top + left + c];
            const b = image[bottom + left + c];
            const upper = a + u * (image[top + right + c] - a);
            images[out + c] = upper + v * (b + u * (image[bottom + right + c] - b) - upper);
          }
        }
      }
    }
  };
}

/** `share` of the axis from `begin` (of 1) on, stretched to all of it, mirrored, moved by `distance`. */
function fillAxis(
  { low, high, share: shares }: Axis,
  share: number,
  begin: number,
  mirrored: boolean,
  distance: number,
  padding: PlacedAugmentation['padding'],
): void {
  const n = low.length;
  for (let i = 0; i < n; i++) {
    let j = i - distance;
    if (j < 0 || j >= n) {
      if (padding === 'zero') {
        low[i] = -1;
        continue;
      }
      if (padding === 'edge') j = j < 0 ? 0 : n - 1;
      else j = j < 0 ? -j : 2 * (n - 1) - j;
    }
    if (mirrored) j = n - 1 - j;
    if (share === 1) {
      low[i] = j;
      high[i] = j;
      shares[i] = 0;
      continue;
    }
    const place = Math.min(n - 1, Math.max(0, begin * n + (j + 0.5) * share - 0.5));
    low[i] = Math.floor(place);
    high[i] = Math.min(n - 1, low[i] + 1);
    shares[i] = place - low[i];
  }
}
