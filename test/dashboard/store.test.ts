import { expect, test } from 'vitest';

// The page's own modules, as the browser loads them.
const module = new URL('../../src/dashboard/page/store.js', import.meta.url).href;
const { Store } = (await import(module)) as { Store: new () => PageStore };

interface PageCurves {
  readonly step: number[];
  readonly count: number[];
  readonly mean: Record<string, (number | null)[]>;
  readonly min: Record<string, (number | null)[]>;
  readonly max: Record<string, (number | null)[]>;
}
interface PageRun {
  readonly curves: PageCurves;
  shown: boolean;
  evaluated(name: string): { last: number; best: number };
}
interface PageStore {
  readonly runs: PageRun[];
  putRun(snapshot: object): void;
  replace(state: object): void;
  apply(news: object): void;
}

const NONE = { step: [], count: [], mean: {} };
const snapshot = { id: 0, name: 'a', group: 'a', header: null, state: 'running', curves: NONE, evaluations: NONE, events: [] }; // biome-ignore format: one line

test('a page that is open for long keeps the whole run: its beginning, its peak and its mean', () => {
  const store = new Store();
  store.putRun(snapshot);
  // Steps 1, 2, 3 ... with the loss 1 + 1/step, and one peak; 32 groups of 10 at a time, as the server sends them.
  let last = 0;
  for (let message = 0; message < 2500; message++) {
    const step = Array.from({ length: 32 }, () => (last += 10)); // biome-ignore format: one line
    const loss = step.map((s) => 1 + 1 / s);
    const max = loss.map((value, i) => (step[i] === 70_000 ? 99 : value));
    store.apply({ id: 0, curves: { step, count: step.map(() => 10), mean: { loss }, min: { loss }, max: { loss: max } } }); // biome-ignore format: one line
  }
  const { step, count, mean, max } = store.runs[0].curves;
  expect(step.length).toBeLessThanOrEqual(4000);
  expect(step.length).toBeGreaterThan(1000);
  expect(count.reduce((a, b) => a + b)).toBe(last);
  for (const [i, s] of step.entries()) expect(s - (step[i - 1] ?? 0)).toBe(count[i]);
  // A tenth of the run has about a tenth of the points, the first as the last.
  for (let part = 0; part < 10; part++) {
    const points = step.filter((s) => s > (part * last) / 10 && s <= ((part + 1) * last) / 10).length;
    expect(points / step.length).toBeGreaterThan(0.02);
  }
  expect(Math.max(...max.loss.map(Number))).toBe(99);
  const total = mean.loss.reduce((sum: number, value, i) => sum + Number(value) * count[i], 0);
  expect(total / last).toBeCloseTo(1 + 10 * Array.from({ length: last / 10 }, (_, i) => 1 / (10 * (i + 1))).reduce((a, b) => a + b) / last, 6); // biome-ignore format: one line
});

test('a run that is sent anew stays hidden if it was; another one in its place does not', () => {
  const store = new Store();
  store.putRun(snapshot);
  store.runs[0].shown = false;
  store.putRun({ ...snapshot, totalSteps: 9 });
  expect(store.runs[0].shown).toBe(false);
  store.putRun({ ...snapshot, name: 'b' });
  expect(store.runs[0].shown).toBe(true);
  store.putRun({ ...snapshot, name: 'b', hidden: true }); // it is no longer the best
  expect(store.runs[0].shown).toBe(false);
  store.runs[0].shown = true;
  store.replace({
    runs: [
      { ...snapshot, name: 'b', hidden: true },
      { ...snapshot, id: 1, hidden: true },
    ],
  });
  expect(store.runs.map(({ shown }) => shown)).toEqual([true, false]);
});

test('the best of a metric is the lowest or the highest, as the run says', () => {
  const evaluations = { step: [1, 2, 3], count: [1, 1, 1], mean: { 'val.rmse': [3, 1, 2], 'val.f1': [3, 1, 2] } };
  const store = new Store();
  store.putRun({ ...snapshot, evaluations, header: { lowerIsBetter: ['loss', 'rmse'] } });
  expect(store.runs[0].evaluated('val.rmse')).toEqual({ last: 2, best: 1 });
  expect(store.runs[0].evaluated('val.f1')).toEqual({ last: 2, best: 3 });
});
