import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { PHASES, phasesOf, type WorkerStep } from '../../src/parallel/timeline.ts';
import { TraceSink } from '../../src/record/trace.ts';
import { header } from './fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-trace-'));
afterAll(() => rmSync(folder, { recursive: true }));

const workerStep = (rank: number, step: number): WorkerStep => ({
  rank,
  step,
  start: 1e9 + 10 * step,
  computed: 1e9 + 10 * step + 4 + rank,
  gathered: 1e9 + 10 * step + 6,
  reduced: 1e9 + 10 * step + 7,
  normed: 1e9 + 10 * step + 7.5,
  updated: 1e9 + 10 * step + 9,
  done: 1e9 + 10 * step + 9.5,
  gatherMs: 0.5,
  forwardMs: 1,
});

interface Event {
  name: string;
  ph: string;
  tid: number;
  ts: number;
  dur: number;
  args: Record<string, unknown>;
}

async function trace(steps: readonly WorkerStep[]): Promise<Event[]> {
  const path = join(folder, 'trace.json');
  const sink = new TraceSink(path);
  await sink.open(header);
  sink.timeline(steps);
  await sink.close();
  return (JSON.parse(readFileSync(path, 'utf8')) as { traceEvents: Event[] }).traceEvents;
}

test('a track for each worker, its phases side by side inside their step, in microseconds from the first', async () => {
  const steps = [workerStep(0, 3), workerStep(1, 3), workerStep(0, 4)];
  const events = await trace(steps);
  expect(events.filter(({ ph }) => ph === 'M').map(({ args }) => args.name)).toEqual([
    'node 0',
    'worker 0',
    'worker 1',
  ]);
  const whole = events.filter(({ name }) => name.startsWith('step '));
  expect(whole.map(({ tid, ts, dur }) => [tid, ts, dur])).toEqual([
    [0, 0, 9500],
    [1, 0, 9500],
    [0, 10_000, 9500],
  ]);
  for (const [i, step] of steps.entries()) {
    const parts = events.filter((e) => e.args?.step === step.step && e.tid === step.rank);
    expect(parts.map(({ name }) => name)).toEqual([...PHASES]);
    let at = whole[i].ts;
    for (const part of parts) {
      expect(part.ts).toBeCloseTo(at, 2);
      expect(part.dur).toBeCloseTo(1000 * phasesOf(step)[part.name as (typeof PHASES)[number]], 2);
      at += part.dur;
    }
    expect(at).toBeCloseTo(whole[i].ts + whole[i].dur, 2);
  }
});

test('keeps the last steps of a long run', async () => {
  const events = await trace(Array.from({ length: 20_000 }, (_, i) => workerStep(i % 2, 1 + (i >> 1))));
  const steps = events.filter(({ name }) => name.startsWith('step ')).map(({ name }) => Number(name.slice(5)));
  expect(Math.max(...steps)).toBe(10_000);
  expect(steps).toHaveLength(4000);
});

test('a place that cannot be written is refused before the run, with the file named', async () => {
  await expect(new TraceSink(join(folder, 'none', 'trace.json')).open(header)).rejects.toThrow(
    /none.*trace\.json.*--trace/,
  );
});
