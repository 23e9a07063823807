import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { log } from '../../kernels/math.ts';
import { OPTIMIZERS, resolveOptimizer } from '../../optim/catalogue.ts';
import { descend, type Landscape } from './functions.ts';

const STEPS = 300;
const RATES = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1];
const [PANEL, LABEL, COLUMNS] = [180, 22, 5];
const LEVELS = 12;
const GRID = 60;

/** Where an optimizer went. */
export interface Path {
  readonly optimizer: string;
  readonly lr: number;
  /** [x, y] after every step, the start first. */
  readonly points: readonly (readonly [number, number])[];
  /** Value of the function at the end. */
  readonly value: number;
}

/** The path of every optimizer of the catalogue that can be run on a function, at the rate that ends lowest. */
export function pathsOn(landscape: Landscape, rates: readonly number[] = RATES): Path[] {
  return Object.keys(OPTIMIZERS).flatMap((kind) => {
    const paths = rates.flatMap((lr) => pathOf(landscape, kind, lr) ?? []);
    return paths.length === 0 ? [] : [paths.reduce((a, b) => (b.value < a.value ? b : a))];
  });
}

function pathOf({ value, start }: Landscape, kind: string, lr: number): Path | undefined {
  const points: (readonly [number, number])[] = [start];
  try {
    resolveOptimizer({ kind, lr });
    const end = descend({ kind, lr }, value, start, STEPS, (p) => {
      points.push([p[0], p[1]]);
      return !(Math.abs(p[0]) < 100 && Math.abs(p[1]) < 100);
    });
    const at = value(end);
    return Number.isFinite(at) ? { optimizer: kind, lr, points, value: at } : undefined;
  } catch {
    return undefined; // an optimizer of matrices, or numbers that broke
  }
}

/** One panel an optimizer, each over the same level lines; light and dark. */
export function drawPaths(landscape: Landscape, paths: readonly Path[]): string {
  const rows = Math.ceil(paths.length / COLUMNS);
  const [width, height] = [COLUMNS * PANEL, rows * (PANEL + LABEL)];
  const panels = paths.map((path, i) => {
    const [left, top] = [(i % COLUMNS) * PANEL, Math.floor(i / COLUMNS) * (PANEL + LABEL)];
    return `<g transform="translate(${left},${top})"><text x="6" y="15">${path.optimizer} ${path.lr}</text><svg y="${LABEL}" width="${PANEL}" height="${PANEL}"><use href="#levels"/>${line(landscape, path)}</svg></g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Paths of optimizers on ${landscape.name}</title>
<style>svg{background:#fff;fill:#1b1f24}.path{fill:none;stroke:#d8364c;stroke-width:1.3}.end{fill:#d8364c}.goal{fill:#2f8f46}@media (prefers-color-scheme:dark){svg{background:#14171b;fill:#e6e9ed}.path{stroke:#ff8a94}.end{fill:#ff8a94}.goal{fill:#7ccf87}}</style>
<defs><g id="levels">${levels(landscape)}</g></defs>
${panels.join('\n')}
</svg>
`;
}

function place({ x, y }: Landscape, [px, py]: readonly [number, number]): [string, string] {
  const at = (value: number, [low, high]: readonly [number, number]) => ((value - low) / (high - low)) * PANEL;
  return [at(px, x).toFixed(1), (PANEL - at(py, y)).toFixed(1)];
}

function line(landscape: Landscape, { points }: Path): string {
  const places = points.map((point) => place(landscape, point));
  const d = `M${places.map(([x, y]) => `${x},${y}`).join('L')}`;
  const [ex, ey] = places[places.length - 1];
  const goals = landscape.minima.map((minimum) => {
    const [gx, gy] = place(landscape, minimum);
    return `<circle class="goal" cx="${gx}" cy="${gy}" r="3.5"/>`;
  });
  return `${goals.join('')}<path class="path" d="${d}"/><circle class="end" cx="${ex}" cy="${ey}" r="2.5"/>`;
}

/** Level lines by Observable Plot, equally spaced in the logarithm of the value. */
function levels({ value, x, y }: Landscape): string {
  const { document } = parseHTML('<!doctype html><html><body></body></html>');
  const at = (px: number, py: number) => log(1 + value(Float64Array.of(px, py)));
  const figure = Plot.plot({
    document,
    width: PANEL,
    height: PANEL,
    margin: 0,
    axis: null,
    x: { domain: [...x] },
    y: { domain: [...y] },
    marks: [
      Plot.contour({
        x1: x[0],
        x2: x[1],
        y1: y[0],
        y2: y[1],
        fill: at,
        width: GRID,
        height: GRID,
        thresholds: LEVELS,
        stroke: null,
      }),
    ],
  });
  const paths = [...figure.querySelectorAll('path')].map((path) => shorten(path.getAttribute('d') ?? ''));
  // Areas lie in one another: the same faint colour adds up.
  return paths.map((d) => `<path d="${d}" fill="#4269d0" fill-opacity="0.07"/>`).join('');
}

/** A tenth of a point is enough. */
function shorten(d: string): string {
  return d.replace(/-?\d+\.\d+/g, (number) => Number(number).toFixed(1));
}
