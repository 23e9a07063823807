import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { formatValue } from './text.ts';

/** Drawn by Observable Plot into a document of linkedom: plain SVG text, no browser. Colours are CSS variables of the page. */
export interface Chart {
  readonly title: string;
  readonly note: string;
  readonly svg: string;
}

const WIDTH = 640;
const HEIGHT = 340;
/** Colours that the page defines, --c0 to --c9; series beyond share the last. */
export const COLOURS = 10;

/** `order`: the series, each with the colour of its place. */
export function draw(options: {
  order: readonly string[];
  x: Plot.ScaleOptions;
  y: Plot.ScaleOptions;
  marks: Plot.Markish[];
  height?: number;
  marginLeft?: number;
}): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const figure = Plot.plot({
    document,
    width: WIDTH,
    height: options.height ?? HEIGHT,
    marginLeft: options.marginLeft ?? 52,
    marginBottom: 38,
    x: { grid: true, ...plainTicks(options.x), ...options.x },
    y: { grid: true, ...plainTicks(options.y), ...options.y },
    color: {
      domain: [...options.order],
      range: options.order.map((_, i) => `var(--c${Math.min(i, COLOURS - 1)})`),
    },
    marks: options.marks,
    style: { background: 'transparent' },
  });
  return figure.outerHTML;
}

/** Numbers as everywhere else in the report; Plot's own way on a logarithm is '100m' and '10µ'. */
function plainTicks({ type }: Plot.ScaleOptions): Plot.ScaleOptions {
  return type === 'log' ? { tickFormat: (value: number) => formatValue(value), ticks: 5 } : {};
}
