import type { KernelTable, Pointer } from './table.ts';

type ImageKernels = Pick<
  KernelTable,
  | 'im2col'
  | 'col2im'
  | 'depthwise'
  | 'depthwiseGradInput'
  | 'depthwiseGradWeight'
  | 'maxPool'
  | 'maxPoolPick'
  | 'maxPoolGrad'
  | 'avgPool'
  | 'avgPoolGrad'
>;

/** The kernels of convolution and pooling as the table defines them: part of `referenceKernels`. */
export function imageKernels(real: Float32Array | Float64Array, int: Int32Array): ImageKernels {
  const table = (p: Pointer, count: number): number[] => Array.from(int.subarray(p >> 2, (p >> 2) + count));

  /** Calls `visit` with the place of each window element in the matrix and in the image, both in elements. */
  const eachElement = (images: number, geometry: Pointer, visit: (column: number, pixel: number) => void): void => {
    const [imageStride, outHeight, rowStride, outWidth, positionStride, kernelHeight, kernelRowStride, runs, runStride, run] =
      table(geometry, 10); // biome-ignore format: one line reads better
    let column = 0;
    for (let n = 0; n < images; n++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          for (let k = 0; k < kernelHeight; k++) {
            for (let r = 0; r < runs; r++) {
              const start = n * imageStride + i * rowStride + j * positionStride + k * kernelRowStride + r * runStride;
              for (let c = 0; c < run; c++) visit(column++, start + c);
            }
          }
        }
      }
    }
  };

  /** Elements of a window, and of one of its runs (the channels, where each has a filter of its own). */
  const windowOf = (geometry: Pointer): { window: number; run: number } => {
    const [kernelHeight, , runs, , run] = table(geometry, 10).slice(5);
    return { window: kernelHeight * runs * run, run };
  };

  /** Calls `visit` with each pooled element and the elements of its window, counted in elements of their images. */
  const eachWindow = (
    images: number,
    geometry: Pointer,
    visit: (pooled: number, window: readonly number[]) => void,
  ): void => {
    const [height, width, channels, outHeight, outWidth, kernelHeight, kernelWidth, strideY, strideX, padTop, padLeft] =
      table(geometry, 11); // biome-ignore format: one line reads better
    let pooled = 0;
    for (let n = 0; n < images; n++) {
      for (let i = 0; i < outHeight; i++) {
        for (let j = 0; j < outWidth; j++) {
          for (let c = 0; c < channels; c++) {
            const window: number[] = [];
            for (let y = i * strideY - padTop; y < i * strideY - padTop + kernelHeight; y++) {
              for (let x = j * strideX - padLeft; x < j * strideX - padLeft + kernelWidth; x++) {
                if (y < 0 || y >= height || x < 0 || x >= width) continue;
                window.push(((n * height + y) * width + x) * channels + c);
              }
            }
            visit(pooled++, window);
          }
        }
      }
    }
  };
  const zeroImages = (dx: Pointer, images: number, geometry: Pointer): void => {
    const [height, width, channels] = table(geometry, 3);
    real.fill(0, dx >> 2, (dx >> 2) + images * height * width * channels);
  };
  /** The first place of the window's maximum. */
  const argmax = (x: Pointer, window: readonly number[]): number =>
    window.reduce((best, at) => (real[(x >> 2) + at] > real[(x >> 2) + best] ? at : best));

  return {
    im2col(out, x, images, geometry) {
      eachElement(images, geometry, (column, pixel) => {
        real[(out >> 2) + column] = real[(x >> 2) + pixel];
      });
    },
    col2im(x, columns, images, geometry) {
      eachElement(images, geometry, (column, pixel) => {
        real[(x >> 2) + pixel] += real[(columns >> 2) + column];
      });
    },
    depthwise(out, x, w, images, geometry) {
      const { window, run } = windowOf(geometry);
      eachElement(images, geometry, (column, pixel) => {
        const at = (out >> 2) + Math.floor(column / window) * run + (column % run);
        if (column % window < run) real[at] = 0;
        real[at] += real[(x >> 2) + pixel] * real[(w >> 2) + (column % window)];
      });
    },
    depthwiseGradInput(dx, dy, w, images, geometry) {
      const { window, run } = windowOf(geometry);
      eachElement(images, geometry, (column, pixel) => {
        const up = real[(dy >> 2) + Math.floor(column / window) * run + (column % run)];
        real[(dx >> 2) + pixel] += up * real[(w >> 2) + (column % window)];
      });
    },
    depthwiseGradWeight(dw, x, dy, images, geometry) {
      const { window, run } = windowOf(geometry);
      eachElement(images, geometry, (column, pixel) => {
        const up = real[(dy >> 2) + Math.floor(column / window) * run + (column % run)];
        real[(dw >> 2) + (column % window)] += up * real[(x >> 2) + pixel];
      });
    },
    maxPool(out, x, images, geometry) {
      eachWindow(images, geometry, (pooled, window) => {
        real[(out >> 2) + pooled] = Math.max(...window.map((at) => real[(x >> 2) + at]));
      });
    },
    maxPoolPick(out, x, v, images, geometry) {
      eachWindow(images, geometry, (pooled, window) => {
        real[(out >> 2) + pooled] = real[(v >> 2) + argmax(x, window)];
      });
    },
    maxPoolGrad(dx, x, dy, images, geometry) {
      zeroImages(dx, images, geometry);
      eachWindow(images, geometry, (pooled, window) => {
        real[(dx >> 2) + argmax(x, window)] += real[(dy >> 2) + pooled];
      });
    },
    avgPool(out, x, images, geometry) {
      eachWindow(images, geometry, (pooled, window) => {
        real[(out >> 2) + pooled] = window.reduce((sum, at) => sum + real[(x >> 2) + at], 0) / window.length;
      });
    },
    avgPoolGrad(dx, dy, images, geometry) {
      zeroImages(dx, images, geometry);
      eachWindow(images, geometry, (pooled, window) => {
        for (const at of window) real[(dx >> 2) + at] += real[(dy >> 2) + pooled] / window.length;
      });
    },
  };
}
