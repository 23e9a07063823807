import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adam, Controls, type EventRecord, type SinkRecord, type TrainOptions, train } from 'lockstep';
import { afterAll, expect, test } from 'vitest';
import small from '../fixtures/small-job.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-controls-'));
afterAll(() => rmSync(folder, { recursive: true }));

const job = { ...small, optimizer: adam({ lr: 0.001 }), epochs: 400 };

/** Trains with a hand on the buttons: `act` is called on every change of state and at every batch of steps. */
async function trained(act: (controls: Controls, step: number) => void, options: TrainOptions = {}) {
  const controls = new Controls();
  const events: EventRecord[] = [];
  let step = 0;
  controls.onChange(() => act(controls, step));
  const sink = {
    open() {},
    write: (records: readonly SinkRecord[]) => void events.push(...records.filter((r) => r.kind === 'event')),
    close() {},
  };
  const onProgress: TrainOptions['onProgress'] = (event) => {
    if (event.kind !== 'steps') return;
    step = event.records.at(-1)?.step ?? 0;
    act(controls, step);
  };
  const result = await train(job, { workers: 2, controls, sinks: [sink], onProgress, ...options });
  return { result, controls, names: events.map(({ event }) => event), events };
}

const undisturbed = train(job, { workers: 1 });

test('a run that is paused and resumed, and saved meanwhile, ends in the same bytes; all of it is recorded', async () => {
  const runDir = join(folder, 'paused');
  const states: string[] = [];
  let resumed = false;
  const { result, controls, names, events } = await trained(
    (controls) => {
      if (states.at(-1) !== controls.state) states.push(controls.state);
      if (resumed) return;
      if (controls.state === 'running') return controls.pause();
      if (controls.state !== 'paused' || controls.saving) return;
      if (controls.wanted.checkpoint === false && !asked) {
        asked = true;
        return controls.checkpoint();
      }
      resumed = true;
      controls.resume();
    },
    { runDir },
  );
  expect(result.parametersSha256).toBe((await undisturbed).parametersSha256);
  expect(result.history.map(({ loss }) => loss)).toEqual((await undisturbed).history.map(({ loss }) => loss));
  expect(states).toEqual(['running', 'pausing', 'paused', 'running', 'ended']);
  expect(names.filter((name) => name !== 'note')).toEqual(['pause', 'resume', 'checkpoint', 'checkpoint', 'end']);
  const [pause, resume] = events;
  expect(resume.step).toBe(pause.step); // nothing was trained in between
  expect(events.find(({ event }) => event === 'checkpoint')?.step).toBe(pause.step);
  expect(controls.state).toBe('ended');
});
let asked = false;

test('stop ends the run after the step in progress, saved, and it goes on from there', async () => {
  const runDir = join(folder, 'stopped');
  const { result, names } = await trained((controls, step) => step >= 5 && controls.stop(), { runDir });
  expect(result.stopped).toBe('aborted');
  expect(result.step).toBeLessThan(1200);
  expect(names).toEqual(['stop', 'checkpoint', 'end']);
  const { parametersSha256 } = await train(job, { workers: 1, runDir, resume: 'auto' });
  expect(parametersSha256).toBe((await undisturbed).parametersSha256);
});

test('stop, and an abort, end a run that is paused', async () => {
  const stopped = await trained((controls) => {
    if (controls.state === 'running') controls.pause();
    else if (controls.state === 'paused') controls.stop();
  });
  expect(stopped.result.stopped).toBe('aborted');
  const abort = new AbortController();
  const aborted = await trained(
    (controls) => {
      if (controls.state === 'running') controls.pause();
      else if (controls.state === 'paused') abort.abort();
    },
    { signal: abort.signal },
  );
  expect(aborted.result.stopped).toBe('aborted');
  expect(aborted.names).not.toContain('resume');
});

test('without a run folder there is nothing to save into', async () => {
  const seen: boolean[] = [];
  const { names } = await trained((controls, step) => {
    if (step === 0 || seen.length > 0) return;
    seen.push(controls.canSave);
    controls.checkpoint();
    seen.push(controls.saving);
  });
  expect(seen).toEqual([false, false]);
  expect(names).toEqual(['end']);
});

test('a run that is to wait after a step waits after exactly that one, said before, while it waits and while it runs', async () => {
  const waited: number[] = [];
  const controls = new Controls();
  let step = 0;
  let asked = 0;
  controls.pauseAfter(7);
  controls.onChange(() => {
    if (controls.state !== 'paused' || waited.at(-1) === step) return;
    waited.push(step);
    if (waited.length === 1) controls.pauseAfter(40);
    if (waited.length === 3) controls.stop();
    else controls.resume();
  });
  const onProgress: TrainOptions['onProgress'] = (event) => {
    if (event.kind !== 'steps') return;
    step = event.records.at(-1)?.step ?? 0;
    if (waited.length < 2 || asked > 0) return;
    asked = step + 8_000; // further than the worker is by now
    controls.pauseAfter(asked);
  };
  const { step: last } = await train({ ...job, epochs: 1_000_000 }, { workers: 1, controls, onProgress });
  expect(waited).toEqual([7, 40, asked]);
  expect(last).toBe(asked);
});
