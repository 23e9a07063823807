import type { SmoothedPoint } from '../train/lr-curve.ts';
import { formatNumber } from './format.ts';

const WIDTH = 64;
const HEIGHT = 12;
/** What lies higher than the start by this share of the fall is cut: a diverging end would flatten the rest. */
const HEADROOM = 0.25;

/** A curve of the loss over the logarithm of the rate, as lines of text; the suggestion is marked below. Pure. */
export function renderCurve(points: readonly SmoothedPoint[], suggestion: number | undefined): string[] {
  if (points.length < 2) return [];
  const [first, last] = [Math.log(points[0].lr), Math.log(points[points.length - 1].lr)];
  const column = (lr: number) => Math.round(((WIDTH - 1) * (Math.log(lr) - first)) / (last - first));
  const losses = points.map((p) => p.smoothed);
  const low = Math.min(...losses);
  const start = losses[Math.min(5, losses.length - 1)];
  const high = Math.min(Math.max(...losses), start + HEADROOM * Math.max(start - low, 0.01 * Math.abs(start)));
  const row = (loss: number) =>
    high === low ? HEIGHT - 1 : Math.round(((HEIGHT - 1) * (high - Math.min(loss, high))) / (high - low));

  const grid = Array.from({ length: HEIGHT }, () => new Array<string>(WIDTH).fill(' '));
  for (const { lr, smoothed } of points) grid[row(smoothed)][column(lr)] = smoothed > high ? '^' : '*';
  const labels = grid.map((_, r) => {
    if (r !== 0 && r !== HEIGHT - 1 && r !== Math.floor(HEIGHT / 2)) return '';
    return formatNumber(high - ((high - low) * r) / (HEIGHT - 1));
  });
  const margin = Math.max(...labels.map((l) => l.length), 'loss'.length);
  const lines = grid.map((cells, r) => `${labels[r].padStart(margin)} |${cells.join('').trimEnd()}`);
  return [
    'loss'.padStart(margin),
    ...lines,
    `${' '.repeat(margin)} +${'-'.repeat(WIDTH)}`,
    `${' '.repeat(margin)}  ${axis(points[0].lr, points[points.length - 1].lr, column)}`,
    ...(suggestion === undefined ? [] : [`${' '.repeat(margin + 2 + column(suggestion))}^ suggestion`]),
  ];
}

/** The decades, where there is room. */
function axis(from: number, to: number, column: (lr: number) => number): string {
  let text = '';
  for (let e = Math.ceil(Math.log10(from) - 1e-9); e <= Math.log10(to) + 1e-9; e++) {
    const at = column(10 ** e);
    if (text !== '' && at < text.length + 1) continue;
    text = `${text.padEnd(at)}1e${e}`;
  }
  return text;
}
