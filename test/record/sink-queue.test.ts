import { afterEach, expect, test } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import type { Sink, SinkRecord } from '../../src/record/contract.ts';
import { SinkFan } from '../../src/record/sink-fan.ts';
import { evaluation, header, step } from './fixtures.ts';

const said: string[] = [];
afterEach(() => said.splice(0));

/** A sink whose answers are given by hand. */
class HeldSink implements Sink {
  readonly got: (readonly SinkRecord[])[] = [];
  readonly #answers: (() => void)[] = [];
  closed = 0;
  open(): void {}
  write(records: readonly SinkRecord[]): Promise<void> {
    this.got.push(records);
    return new Promise((resolve) => this.#answers.push(resolve));
  }
  close(): void {
    this.closed += 1;
  }
  async answer(): Promise<void> {
    this.#answers.shift()?.();
    await new Promise(setImmediate);
  }
}

const fanOf = (sinks: readonly Sink[], limits = {}) =>
  SinkFan.open(sinks, header, (text) => said.push(text), { openPatienceMs: 20, closePatienceMs: 20, ...limits });

test('one write at a time: what comes meanwhile is handed on together, in order', async () => {
  const sink = new HeldSink();
  const fan = await fanOf([sink]);
  fan.write([step(1)]);
  fan.write([step(2), evaluation]);
  fan.write([step(3)]);
  expect(sink.got).toEqual([[step(1)]]);
  await sink.answer();
  expect(sink.got).toEqual([[step(1)], [step(2), evaluation, step(3)]]);
  const closing = fan.close();
  await sink.answer();
  expect(await closing).toEqual([]);
  expect(sink.closed).toBe(1);
});

test('what does not fit is left out and counted, but not evaluations; another sink gets everything', async () => {
  const [slow, fast] = [new HeldSink(), { got: 0, open() {}, write(r: readonly SinkRecord[]) { this.got += r.length; }, close() {} }]; // biome-ignore format: short
  const fan = await fanOf([slow, fast], { capacity: 4 });
  for (let n = 1; n <= 10; n++) fan.write([step(n)]);
  fan.write([evaluation]);
  expect(fast.got).toBe(11);
  await slow.answer();
  expect(slow.got.flat()).toEqual([step(1), step(2), step(3), step(4), step(5), evaluation]);
  await slow.answer();
  const [problem, ...others] = await fan.close();
  expect(others).toEqual([]);
  expect(problem).toMatchObject({ code: 'E_SINK', message: expect.stringContaining('5 records left out') });
  expect(said).toEqual([expect.stringContaining('HeldSink is slower than the run')]);
});

test('a sink that never answers is given up at the end, and closed', async () => {
  const sink = new HeldSink();
  const fan = await fanOf([sink]);
  fan.write([step(1)]);
  fan.write([step(2)]);
  expect(await fan.close()).toMatchObject([
    { code: 'E_SINK', message: expect.stringMatching(/1 records left.*no answer/) },
  ]);
  expect(sink.closed).toBe(1);
});

test('a write that fails costs its records; the first failure is told at once and at the end, once', async () => {
  let calls = 0;
  const got: SinkRecord[] = [];
  const sink: Sink = {
    name: 'mine',
    open() {},
    async write(records) {
      calls += 1;
      if (calls < 3) throw new Error(`boom ${calls}`);
      got.push(...records);
    },
    close() {},
  };
  const fan = await fanOf([sink]);
  for (let n = 1; n <= 3; n++) {
    fan.write([step(n)]);
    await new Promise(setImmediate);
  }
  expect(got).toEqual([step(3)]);
  expect(said).toEqual([expect.stringContaining('sink mine has failed (boom 1)')]);
  expect(await fan.close()).toEqual([new Error('boom 1')]);
});

test('a sink that opens slowly gets what came meanwhile', async () => {
  let opened = (): void => {};
  const got: SinkRecord[] = [];
  const sink: Sink = {
    open: () => new Promise<void>((resolve) => { opened = resolve; }), // biome-ignore format: short
    write: (records) => void got.push(...records),
    close() {},
  };
  const fan = await fanOf([sink]);
  fan.write([step(1)]);
  expect(got).toEqual([]);
  opened();
  expect(await fan.close()).toEqual([]);
  expect(got).toEqual([step(1)]);
});

test('a LockstepError at the opening refuses the run, and every sink is closed', async () => {
  const other = new HeldSink();
  const refusal = new LockstepError('E_RUN_DIR', { where: 'w', expected: 'x', got: 'y', fix: 'z' });
  const bad: Sink = { open: () => Promise.reject(refusal), write() {}, close() {} };
  await expect(fanOf([other, bad])).rejects.toBe(refusal);
  expect(other.closed).toBe(1);
});

test('a sink in JavaScript may give anything, and throw what it likes', async () => {
  const got: SinkRecord[] = [];
  const thenable = Object.fromEntries([['then', (done: () => void) => done()]]);
  const answers: unknown[] = [7, 'done', null, { done: 1 }, thenable];
  const odd = { open: () => 1, write: (records: readonly SinkRecord[]) => { got.push(...records); return answers.shift(); }, close: () => 'x' }; // biome-ignore format: short
  const thrower = { open() {}, write() { throw 'no error'; }, close() { throw undefined; } }; // biome-ignore format: short
  const fan = await fanOf([odd, thrower] as unknown as Sink[]);
  for (let n = 1; n <= 6; n++) fan.write([step(n)]);
  expect((await fan.close()).map(({ message }) => message)).toEqual(['no error']);
  expect(got.map((record) => record.kind === 'step' && record.step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(said).toHaveLength(1);
});
