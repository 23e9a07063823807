import type { GemmArgs, Lowering } from '../op.ts';
import type { Ref } from '../program.ts';
import { sizeOf } from '../tensor.ts';
import { lowerMove, shift } from './strides.ts';

/** All sizes of one convolution; images as [rows, height, width, channels], weights [window, window, channels / groups, filters]. */
export interface Convolution {
  readonly rows: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly filters: number;
  readonly groups: number;
  /** Each [down, right]. */
  readonly window: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  /** Zeros beside the image: top, left, bottom, right. */
  readonly pads: readonly number[];
  /** Height and width of the result. */
  readonly out: readonly number[];
}

/**
 * Convolutions as kernel calls: windows become rows of a matrix (im2col), and matrix products with the weights do the rest. Images go
 * through in chunks whose matrix stays in the level-2 cache; it is made again for the gradient of the weights, which costs less
 * than to keep it. A window of one pixel needs no matrix: the image is one.
 */

/** Elements of the matrix of one chunk: 768 KiB. Three images of the second layer of a MNIST network, where products are fastest. */
const CHUNK_ELEMENTS = 196608;

/** Neighbouring rows of positions of one image, or all positions of some images. */
interface Chunk {
  readonly image: number;
  readonly images: number;
  readonly row: number;
  readonly rows: number;
}

/** Elements of the images, the padded images, the results and the matrix. */
interface Plan {
  readonly c: Convolution;
  readonly chunks: readonly Chunk[];
  /** Columns of the matrix of one group: elements of a window. */
  readonly inner: number;
  readonly groupChannels: number;
  readonly groupFilters: number;
  readonly paddedWidth: number;
  readonly paddedImage: number;
  /** Whether the images are a copy with zeros around them. */
  readonly pads: boolean;
  /** A window is a pixel: the images are the matrix. */
  readonly pointwise: boolean;
  /** Each channel has one filter of its own: kernels without a matrix, four channels at a time. */
  readonly depthwise: boolean;
}

function isDepthwise({ channels, groups, filters }: Convolution): boolean {
  return groups > 1 && groups === channels && groups === filters;
}

function planConvolution(c: Convolution): Plan {
  const [top, left, bottom, right] = c.pads;
  const groupChannels = c.channels / c.groups;
  const paddedWidth = c.width + left + right;
  const pads = c.pads.some((n) => n > 0);
  const depthwise = isDepthwise(c);
  const pointwise = !depthwise && !pads && sizeOf(c.window) === 1 && sizeOf(c.stride) === 1;
  const inner = sizeOf(c.window) * groupChannels;
  return {
    c,
    chunks: pointwise
      ? [{ image: 0, images: c.rows, row: 0, rows: c.out[0] }]
      : chunksOf(c, depthwise ? c.channels : inner),
    inner,
    groupChannels,
    groupFilters: c.filters / c.groups,
    paddedWidth,
    paddedImage: (c.height + top + bottom) * paddedWidth * c.channels,
    pads,
    pointwise,
    depthwise,
  };
}

/** Images whose matrix (or result) fits a chunk, at least one. */
export function imagesOfChunk(c: Convolution): number {
  const { out, window, channels, groups, filters } = c;
  const columns = isDepthwise(c) ? channels : Math.max(sizeOf(window) * (channels / groups), filters);
  return Math.max(1, Math.floor(CHUNK_ELEMENTS / (sizeOf(out) * columns)));
}

function chunksOf({ rows, out }: Convolution, inner: number): Chunk[] {
  const [outHeight, outWidth] = out;
  const images = Math.floor(CHUNK_ELEMENTS / (sizeOf(out) * inner));
  const chunks: Chunk[] = [];
  if (images >= 1) {
    const count = Math.ceil(rows / images);
    for (let i = 0; i < count; i++) {
      const image = Math.floor((i * rows) / count);
      chunks.push({ image, images: Math.floor(((i + 1) * rows) / count) - image, row: 0, rows: outHeight });
    }
    return chunks;
  }
  const parts = Math.ceil(outHeight / Math.max(1, Math.floor(CHUNK_ELEMENTS / (outWidth * inner))));
  for (let image = 0; image < rows; image++) {
    for (let i = 0; i < parts; i++) {
      const row = Math.floor((i * outHeight) / parts);
      chunks.push({ image, images: 1, row, rows: Math.floor(((i + 1) * outHeight) / parts) - row });
    }
  }
  return chunks;
}

/** Chunks times groups: about as many kernel calls as it takes, without planning them. */
export function convolutionParts(c: Convolution): number {
  const [outHeight] = c.out;
  const columns = isDepthwise(c) ? c.channels : (sizeOf(c.window) * c.channels) / c.groups;
  const perImage = Math.min(outHeight, Math.ceil((sizeOf(c.out) * columns) / CHUNK_ELEMENTS) * 2);
  return c.rows * perImage * (isDepthwise(c) ? 1 : c.groups);
}

/** Rows of the matrix of a chunk. */
function positionsOf({ c }: Plan, chunk: Chunk): number {
  return chunk.images * chunk.rows * c.out[1];
}

/** The first element of a chunk in the result. */
function resultOffset({ c }: Plan, chunk: Chunk): number {
  return (chunk.image * c.out[0] + chunk.row) * c.out[1] * c.filters;
}

/** Elements of the padded copy of a chunk and of its matrix; 0 where there is none. */
function chunkElements(plan: Plan): { padded: number; matrix: number } {
  const images = Math.max(...plan.chunks.map((chunk) => chunk.images));
  const positions = Math.max(...plan.chunks.map((chunk) => positionsOf(plan, chunk)));
  return {
    padded: plan.pads ? images * plan.paddedImage : 0,
    matrix: plan.pointwise ? 0 : positions * plan.inner,
  };
}

/** The images of a chunk between the dense tensor and the inside of the padded copy. */
function moveInside(plan: Plan, l: Lowering, chunk: Chunk, dense: Ref, padded: Ref, into: 'padded' | 'dense'): void {
  const { c, paddedWidth, paddedImage } = plan;
  const [top, left] = c.pads;
  const line = c.width * c.channels;
  const inside = shift(padded, (top * paddedWidth + left) * c.channels);
  const outside = shift(dense, chunk.image * c.height * line);
  const dims = [chunk.images, c.height, line];
  const denseStrides = [c.height * line, line, 1];
  const paddedStrides = [paddedImage, paddedWidth * c.channels, 1];
  if (into === 'padded') lowerMove(l, inside, outside, dims, denseStrides, paddedStrides);
  else lowerMove(l, outside, inside, dims, paddedStrides, denseStrides);
}

/** The geometry of a chunk for im2col, col2im and the depthwise kernels: see src/kernels/table.ts. */
function geometryOf({ c, groupChannels, depthwise, paddedWidth, paddedImage }: Plan, chunk: Chunk): number[] {
  const line = paddedWidth * c.channels;
  // Neighbouring pixels of a window lie behind one another unless groups or dilation part them.
  const joined = c.groups === 1 && c.dilation[1] === 1;
  return [
    paddedImage,
    chunk.rows,
    c.stride[0] * line,
    c.out[1],
    c.stride[1] * c.channels,
    c.window[0],
    c.dilation[0] * line,
    joined ? 1 : c.window[1],
    c.dilation[1] * c.channels,
    joined ? c.window[1] * groupChannels : depthwise ? c.channels : groupChannels,
  ];
}

/** Where the windows of a chunk begin: in the padded copy, which holds the images of the chunk, or in the images. */
function windowsAt({ c, pads, groupChannels, paddedWidth, paddedImage }: Plan, chunk: Chunk, group: number): number {
  const images = pads ? 0 : chunk.image * paddedImage;
  return images + chunk.row * c.stride[0] * paddedWidth * c.channels + group * groupChannels;
}

/** Calls `use` with each chunk and its images, padded where the convolution pads. */
function eachChunk(plan: Plan, l: Lowering, x: Ref, use: (chunk: Chunk, images: Ref) => void): void {
  const padded = plan.pads ? l.zeroed(chunkElements(plan).padded) : x; // chunks only write the inside
  for (const chunk of plan.chunks) {
    if (plan.pads && chunk.row === 0) moveInside(plan, l, chunk, x, padded, 'padded');
    use(chunk, padded);
  }
}

/** Calls `use` with each chunk and group and its matrix of windows of x: [positions, inner] with `lda`. */
function eachMatrix(
  plan: Plan,
  l: Lowering,
  x: Ref,
  use: (chunk: Chunk, group: number, matrix: Ref, lda: number) => void,
): void {
  const { c, inner, pointwise, groupChannels } = plan;
  const matrix = pointwise ? x : l.scratch(chunkElements(plan).matrix);
  eachChunk(plan, l, x, (chunk, images) => {
    for (let group = 0; group < c.groups; group++) {
      if (pointwise) {
        use(chunk, group, shift(x, group * groupChannels), c.channels);
        continue;
      }
      const from = shift(images, windowsAt(plan, chunk, group));
      l.call('im2col', matrix, from, chunk.images, l.table(geometryOf(plan, chunk)));
      use(chunk, group, matrix, inner);
    }
  });
}

/** y = windows of x times weights; inputs x, w. */
export function lowerConvolution(c: Convolution, l: Lowering): void {
  const plan = planConvolution(c);
  const { inner, groupFilters } = plan;
  if (plan.depthwise) {
    eachChunk(plan, l, l.input(0), (chunk, images) => {
      const [to, from] = [shift(l.out, resultOffset(plan, chunk)), shift(images, windowsAt(plan, chunk, 0))];
      l.call('depthwise', to, from, l.input(1), chunk.images, l.table(geometryOf(plan, chunk)));
    });
    return;
  }
  eachMatrix(plan, l, l.input(0), (chunk, group, matrix, lda) => {
    l.gemm({
      transA: false, transB: false, m: positionsOf(plan, chunk), n: groupFilters, k: inner,
      a: matrix, lda,
      b: shift(l.input(1), group * groupFilters), ldb: c.filters, beta: 0,
      c: shift(l.out, resultOffset(plan, chunk) + group * groupFilters), ldc: c.filters,
    }); // biome-ignore format: grouped by operand
  });
}

/** dw = (windows of x)^T dy, added up over the chunks in order; inputs x, dy. */
export function lowerGradWeight(c: Convolution, l: Lowering): void {
  const plan = planConvolution(c);
  const { inner, groupFilters } = plan;
  if (plan.depthwise) {
    if (l.first) l.call('fill', l.out, 0, sizeOf(c.window) * c.channels);
    eachChunk(plan, l, l.input(0), (chunk, images) => {
      const [from, dy] = [shift(images, windowsAt(plan, chunk, 0)), shift(l.input(1), resultOffset(plan, chunk))];
      l.call('depthwiseGradWeight', l.out, from, dy, chunk.images, l.table(geometryOf(plan, chunk)));
    });
    return;
  }
  eachMatrix(plan, l, l.input(0), (chunk, group, matrix, lda) => {
    l.gemm({
      transA: true, transB: false, m: inner, n: groupFilters, k: positionsOf(plan, chunk),
      a: matrix, lda,
      b: shift(l.input(1), resultOffset(plan, chunk) + group * groupFilters), ldb: c.filters, beta: l.first && chunk === plan.chunks[0] ? 0 : 1,
      c: shift(l.out, group * groupFilters), ldc: c.filters,
    }); // biome-ignore format: grouped by operand
  });
}

/** dx: rows of dy w^T go back to the pixels of their windows; inputs dy, w. */
export function lowerGradInput(c: Convolution, l: Lowering): void {
  const plan = planConvolution(c);
  const { pads, inner, pointwise, depthwise, groupChannels, groupFilters } = plan;
  const product = (chunk: Chunk, group: number, to: Ref, ldc: number): GemmArgs => ({
    transA: false, transB: true, m: positionsOf(plan, chunk), n: inner, k: groupFilters,
    a: shift(l.input(0), resultOffset(plan, chunk) + group * groupFilters), lda: c.filters,
    b: shift(l.input(1), group * groupFilters), ldb: c.filters, beta: 0,
    c: to, ldc,
  }); // biome-ignore format: grouped by operand
  const elements = chunkElements(plan);
  const matrix = pointwise || depthwise ? l.out : l.scratch(elements.matrix);
  const padded = pads ? l.scratch(elements.padded) : l.out;
  for (const chunk of plan.chunks) {
    const images = pads ? padded : shift(padded, chunk.image * plan.paddedImage);
    if (chunk.row === 0 && !pointwise) l.call('fill', images, 0, chunk.images * plan.paddedImage);
    for (let group = 0; group < (depthwise ? 1 : c.groups); group++) {
      if (pointwise) {
        l.gemm(product(chunk, group, shift(l.out, group * groupChannels), c.channels));
        continue;
      }
      const to = shift(padded, windowsAt(plan, chunk, group));
      const geometry = l.table(geometryOf(plan, chunk));
      if (depthwise) {
        const dy = shift(l.input(0), resultOffset(plan, chunk));
        l.call('depthwiseGradInput', to, dy, l.input(1), chunk.images, geometry);
      } else {
        l.gemm(product(chunk, group, matrix, inner));
        l.call('col2im', to, matrix, chunk.images, geometry);
      }
    }
    if (pads && chunk.row + chunk.rows === c.out[0]) moveInside(plan, l, chunk, l.out, padded, 'dense');
  }
}
