import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Tensor } from '../../src/graph/tensor.ts';
import * as nn from '../../src/nn/index.ts';
import { expectGolden, type GoldenValues, given, wave } from './golden.ts';
import { i32 } from './harness.ts';

interface Case extends GoldenValues {
  readonly layer: keyof typeof LAYERS;
  readonly args: readonly unknown[];
  readonly x: number[];
  readonly given: 'numbers' | 'ties' | 'ids';
  readonly shape: number[];
}

const { avgPool1d, avgPool2d, conv1d, conv2d, convTranspose2d, depthwiseConv2d, embedding, globalAvgPool } = nn;
const { globalMaxPool, maxPool1d, maxPool2d, positions, rmsNorm } = nn;
const LAYERS = {
  avgPool1d, avgPool2d, conv1d, conv2d, convTranspose2d, depthwiseConv2d, embedding, globalAvgPool, globalMaxPool, maxPool1d, maxPool2d,
  positions, rmsNorm,
}; // biome-ignore format: a list

/** By scripts/golden/layers.py, which says what the numbers are. */
const { cases }: { readonly cases: readonly Case[] } = JSON.parse(
  readFileSync(new URL('../golden/layers-pytorch-1.13.json', import.meta.url), 'utf8'),
);

const titled = cases.map(
  (c) => [`${c.layer}(${c.args.map((a) => JSON.stringify(a)).join(', ')}), ${c.given}`, c] as const,
);
test.each(titled)('%s as PyTorch', (_, { layer: kind, args, x, given: what, shape, ...expected }) => {
  const layer: nn.Layer = Reflect.apply(LAYERS[kind], undefined, args);
  const [rows, ...own] = x;
  const halves = what === 'ties' ? (v: number) => Math.round(2 * v) / 2 : (v: number) => v;
  const ids = what === 'ids';
  const size = ids ? Number(args[0]) : 1;
  const input = given('given', x);
  const got = expectGolden(
    {
      rows,
      fields: [i32('n', size, ...(ids ? own : []))],
      data: ids ? { n: wave(rows * own[0], (i) => (5 * i + Math.floor(i / 3)) % size) } : {},
      model: ({ n }: Record<string, Tensor>) => layer(ids ? n : input(n)),
      kind,
      given: { x: ['given/x', (i) => halves(Math.cos(0.9 * i))] },
    },
    expected,
  );
  expect(got).toEqual(shape);
});

test('every layer of that kind has a case', () => {
  expect(new Set(cases.map(({ layer }) => layer))).toEqual(new Set(Object.keys(LAYERS)));
});
