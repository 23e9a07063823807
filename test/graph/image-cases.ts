import * as ops from '../../src/graph/ops/index.ts';
import type { Nd, randomStream } from './naive.ts';
import * as np from './naive.ts';
import type { OpRow } from './op-cases.ts';

type Random = ReturnType<typeof randomStream>;

/** Convolution by its definition: a sum for each output element, zeros beside the image. */
function conv(
  x: Nd,
  w: Nd,
  g: { stride: number[]; dilation: number[]; before: number[]; out: number[]; groups: number },
): Nd {
  const [rows, height, width, channels] = x.shape;
  const [windowHeight, windowWidth, inner, filters] = w.shape;
  return np.tabulate([rows, ...g.out, filters], ([n, i, j, f]) => {
    const firstChannel = Math.floor(f / (filters / g.groups)) * (channels / g.groups);
    let sum = 0;
    for (let u = 0; u < windowHeight; u++) {
      for (let v = 0; v < windowWidth; v++) {
        const y = i * g.stride[0] + u * g.dilation[0] - g.before[0];
        const z = j * g.stride[1] + v * g.dilation[1] - g.before[1];
        if (y < 0 || y >= height || z < 0 || z >= width) continue;
        for (let c = 0; c < inner; c++) sum += np.at(x, [n, y, z, firstChannel + c]) * np.at(w, [u, v, c, f]);
      }
    }
    return sum;
  });
}

/** The transpose of `conv` as a linear map of images, by its definition. */
function convTransposed(
  x: Nd,
  w: Nd,
  g: { stride: number[]; dilation: number[]; before: number[]; out: number[]; groups: number },
): Nd {
  const [rows, height, width, channels] = x.shape;
  const [windowHeight, windowWidth, inner] = w.shape;
  const filters = inner * g.groups;
  const sums = new Map<string, number>();
  for (let n = 0; n < rows; n++)
    for (let i = 0; i < height; i++)
      for (let j = 0; j < width; j++)
        for (let c = 0; c < channels; c++)
          for (let u = 0; u < windowHeight; u++)
            for (let v = 0; v < windowWidth; v++)
              for (let f = 0; f < inner; f++) {
                const group = Math.floor(c / (channels / g.groups));
                const y = i * g.stride[0] + u * g.dilation[0] - g.before[0];
                const z = j * g.stride[1] + v * g.dilation[1] - g.before[1];
                const key = [n, y, z, group * inner + f].join();
                sums.set(key, (sums.get(key) ?? 0) + np.at(x, [n, i, j, c]) * np.at(w, [u, v, f, c]));
              }
  return np.tabulate([rows, ...g.out, filters], (index) => sums.get(index.join()) ?? 0);
}

type Draw = (random: Random) => number;
const both = (random: Random, draw: Draw): number[] => [draw(random), draw(random)];

interface Setting {
  readonly label: string;
  readonly window: Draw;
  readonly stride: Draw;
  readonly dilation: Draw;
  readonly groups: number;
  readonly groupChannels: Draw;
  readonly groupFilters: Draw;
  readonly padding: 'same' | 'valid' | 'number';
}

const one: Draw = () => 1;
const upTo =
  (n: number): Draw =>
  (random) =>
    random.int(1, n);

const SETTINGS: readonly Setting[] = [
  { label: 'same', window: upTo(3), stride: one, dilation: one, groups: 1, groupChannels: upTo(5), groupFilters: upTo(5), padding: 'same' },
  { label: 'valid, stride', window: upTo(3), stride: upTo(3), dilation: one, groups: 1, groupChannels: upTo(3), groupFilters: upTo(3), padding: 'valid' },
  { label: 'numbers, dilation', window: upTo(3), stride: upTo(2), dilation: upTo(2), groups: 1, groupChannels: upTo(2), groupFilters: upTo(3), padding: 'number' },
  { label: 'groups', window: upTo(3), stride: upTo(2), dilation: upTo(2), groups: 2, groupChannels: upTo(3), groupFilters: upTo(2), padding: 'same' },
  { label: 'depthwise', window: upTo(3), stride: upTo(2), dilation: upTo(2), groups: 5, groupChannels: one, groupFilters: one, padding: 'same' },
  { label: 'depthwise with a multiplier', window: upTo(3), stride: one, dilation: one, groups: 3, groupChannels: one, groupFilters: (r) => r.int(2, 3), padding: 'number' },
  { label: 'one pixel', window: one, stride: one, dilation: one, groups: 1, groupChannels: upTo(5), groupFilters: upTo(5), padding: 'valid' },
  { label: 'one pixel, groups', window: one, stride: one, dilation: one, groups: 2, groupChannels: upTo(3), groupFilters: upTo(3), padding: 'valid' },
]; // biome-ignore format: a table

function drawn(random: Random, s: Setting) {
  const window = both(random, s.window);
  const stride = both(random, s.stride);
  const dilation = both(random, s.dilation);
  const span = window.map((k, d) => (k - 1) * dilation[d] + 1);
  const image = span.map((n) => n + random.int(0, 4));
  const pads = s.padding === 'number' ? both(random, (r) => r.int(0, 2)) : [0, 0];
  const out = image.map((n, d) =>
    s.padding === 'same' ? Math.ceil(n / stride[d]) : Math.floor((n + 2 * pads[d] - span[d]) / stride[d]) + 1,
  );
  const before = image.map((n, d) => {
    if (s.padding !== 'same') return pads[d];
    return Math.floor(Math.max((out[d] - 1) * stride[d] + span[d] - n, 0) / 2);
  });
  const channels = s.groups * s.groupChannels(random);
  const filters = s.groups * s.groupFilters(random);
  const padding = s.padding === 'number' ? pads : s.padding;
  const options = { stride, dilation, padding, groups: s.groups };
  return { window, stride, dilation, span, image, out, before, channels, filters, options, rows: random.int(1, 3) };
}

function convolution(s: Setting): OpRow {
  return {
    op: 'conv2d',
    label: s.label,
    make(random) {
      const d = drawn(random, s);
      return {
        parameters: {
          x: { shape: [d.rows, ...d.image, d.channels] },
          w: { shape: [...d.window, d.channels / s.groups, d.filters] },
        },
        build: ({ x, w }) => ops.conv2d(x, w, d.options),
        expected: ({ x, w }) => conv(x, w, { ...d, groups: s.groups }),
      };
    },
  };
}

function transposed(s: Setting): OpRow {
  return {
    op: 'convTranspose2d',
    label: s.label,
    make(random) {
      const d = drawn(random, s);
      const outputPadding = d.stride.map((n) => random.int(0, n - 1));
      const pads =
        s.padding === 'number' ? d.before.map((n, i) => Math.min(n, Math.floor((d.span[i] - 1) / 2))) : [0, 0];
      const before = d.span.map((n, i) =>
        s.padding === 'same' ? Math.floor(Math.max(n - d.stride[i], 0) / 2) : pads[i],
      );
      const out = d.image.map((n, i) =>
        s.padding === 'same'
          ? n * d.stride[i] + outputPadding[i]
          : (n - 1) * d.stride[i] + d.span[i] - 2 * pads[i] + outputPadding[i],
      );
      const padding = s.padding === 'number' ? pads : s.padding;
      return {
        parameters: {
          x: { shape: [d.rows, ...d.image, d.filters] },
          w: { shape: [...d.window, d.channels / s.groups, d.filters] },
        },
        build: ({ x, w }) => ops.convTranspose2d(x, w, { ...d.options, padding, outputPadding }),
        expected: ({ x, w }) => convTransposed(x, w, { ...d, before, out, groups: s.groups }),
      };
    },
  };
}

/** Elements of each window, by channel. */
function pool(
  x: Nd,
  size: number[],
  stride: number[],
  before: number[],
  out: number[],
  f: (values: number[]) => number,
): Nd {
  return np.tabulate([x.shape[0], ...out, x.shape[3]], ([n, i, j, c]) => {
    const values: number[] = [];
    for (let y = i * stride[0] - before[0]; y < i * stride[0] - before[0] + size[0]; y++) {
      for (let z = j * stride[1] - before[1]; z < j * stride[1] - before[1] + size[1]; z++) {
        if (y >= 0 && y < x.shape[1] && z >= 0 && z < x.shape[2]) values.push(np.at(x, [n, y, z, c]));
      }
    }
    return f(values);
  });
}

const MEANS = (values: number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
const LARGEST = (values: number[]): number => Math.max(...values);

const POOLS = {
  maxPool1d: ops.maxPool1d,
  avgPool1d: ops.avgPool1d,
  maxPool2d: ops.maxPool2d,
  avgPool2d: ops.avgPool2d,
};

function pooling(op: 'maxPool2d' | 'avgPool2d', f: (values: number[]) => number, tiles: boolean): OpRow {
  return {
    op,
    label: tiles ? '2 x 2 side by side' : 'any windows',
    make(random) {
      const size = tiles ? [2, 2] : both(random, upTo(3));
      const stride = tiles ? size : both(random, upTo(3));
      const padding = tiles
        ? 'valid'
        : random.int(0, 1) === 0
          ? ('same' as const)
          : size.map((n) => random.int(0, n - 1));
      const image = tiles ? both(random, (r) => 2 * r.int(1, 3)) : size.map((n) => n + random.int(0, 4));
      const out = image.map((n, d) => {
        if (padding === 'same') return Math.ceil(n / stride[d]);
        const pads = typeof padding === 'string' ? 0 : padding[d];
        return Math.floor((n + 2 * pads - size[d]) / stride[d]) + 1;
      });
      const before = image.map((n, d) => {
        if (padding === 'same') return Math.floor(Math.max((out[d] - 1) * stride[d] + size[d] - n, 0) / 2);
        return typeof padding === 'string' ? 0 : padding[d];
      });
      return {
        parameters: { x: { shape: [random.int(1, 3), ...image, random.int(1, 9)] } },
        build: ({ x }) => POOLS[op](x, size, { stride, padding }),
        expected: ({ x }) => pool(x, size, stride, before, out, f),
      };
    },
  };
}

const line = (x: Nd): Nd => ({ shape: [x.shape[0], 1, x.shape[1], x.shape[2]], data: x.data });
const flat = (x: Nd): Nd => ({ shape: [x.shape[0], x.shape[2], x.shape[3]], data: x.data });

export const IMAGE_ROWS: readonly OpRow[] = [
  ...SETTINGS.map(convolution),
  ...SETTINGS.map(transposed),
  {
    op: 'conv1d',
    make(random) {
      const [window, stride, dilation, channels] = [
        random.int(1, 3),
        random.int(1, 2),
        random.int(1, 2),
        random.int(1, 4),
      ];
      const span = (window - 1) * dilation + 1;
      const length = span + random.int(0, 5);
      const padding = random.int(0, 2);
      const out = [1, Math.floor((length + 2 * padding - span) / stride) + 1];
      return {
        parameters: { x: { shape: [2, length, channels] }, w: { shape: [window, channels, 3] } },
        build: ({ x, w }) => ops.conv1d(x, w, { stride, padding, dilation }),
        expected: ({ x, w }) =>
          flat(
            conv(line(x), { shape: [1, ...w.shape], data: w.data }, {
              stride: [1, stride], dilation: [1, dilation], before: [0, padding], out, groups: 1,
            }), // biome-ignore format: short
          ),
      };
    },
  },
  pooling('maxPool2d', LARGEST, false),
  pooling('maxPool2d', LARGEST, true),
  pooling('avgPool2d', MEANS, false),
  pooling('avgPool2d', MEANS, true),
  ...(['maxPool1d', 'avgPool1d'] as const).map(
    (op): OpRow => ({
      op,
      make(random) {
        const [size, stride] = [random.int(1, 3), random.int(1, 3)];
        const length = size + random.int(0, 5);
        const padding = random.int(0, size - 1);
        const out = [1, Math.floor((length + 2 * padding - size) / stride) + 1];
        const f = op === 'maxPool1d' ? LARGEST : MEANS;
        return {
          parameters: { x: { shape: [2, length, random.int(1, 6)] } },
          build: ({ x }) => POOLS[op](x, size, { stride, padding }),
          expected: ({ x }) => flat(pool(line(x), [1, size], [1, stride], [0, padding], out, f)),
        };
      },
    }),
  ),
];
