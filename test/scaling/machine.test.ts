import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { measureCoreDistance } from '../../src/scaling/core-distance.ts';
import { answerTurns, stopTurns, takeTurns, turnCells } from '../../src/scaling/line-turns.ts';
import { describeMachine, warnIfCoresMoved, warnIfLoaded } from '../../src/scaling/machine.ts';

test.each([
  { looks: [], warned: false },
  { looks: [0, 0.02, 0.05, 0.1], warned: false },
  { looks: [0, 0, 0, 0, 0.9], warned: false }, // one in five
  { looks: [0, 0, 0, 0.35], warned: true }, // one in four, which a median would not show
  { looks: [0.4, 0.5], warned: true },
])('looks at what others use of the cores, $looks: warned $warned', ({ looks, warned }) => {
  const machine = { ...describeMachine(), looks };
  warnIfLoaded(machine);
  expect(machine.warnings.some((text) => text.startsWith('loaded machine'))).toBe(warned);
  if (warned) expect(machine.warnings[0]).toContain(`up to ${100 * Math.max(...looks)} %`);
});

test.each([
  { distances: [], warned: undefined },
  { distances: [110, 105, 180, 115], warned: undefined }, // noise
  { distances: [500, 480, 510], warned: undefined }, // always far: of one kind
  {
    distances: [110, 480, 105, 500],
    warned: 'in 2 of 4 looks a cache line went from one to the other and back in 490 ns instead of 105',
  },
])('tells of cores that moved, $distances', ({ distances, warned }) => {
  const machine = { ...describeMachine(), coreDistancesNs: distances };
  warnIfCoresMoved(machine);
  expect(machine.warnings).toHaveLength(warned === undefined ? 0 : 1);
  if (warned !== undefined) expect(machine.warnings[0]).toContain(warned);
});

test('a turn is taken only when the one before it was answered; nobody answers after the end', async () => {
  const cells = turnCells();
  expect(takeTurns(cells, 0, 1, performance.now())).toBe(false); // nobody there: given up at the deadline
  stopTurns(cells);
  answerTurns(cells); // the turn that waits is answered first, then it ends
  expect(takeTurns(cells, 0, 1, performance.now())).toBe(false);
});

test('another thread answers every turn, and ends when it is told', async () => {
  const cells = turnCells();
  const file = new URL('../../dist/src/scaling/core-distance-thread.js', import.meta.url);
  const thread = new Worker(file, { workerData: cells });
  const ended = once(thread, 'exit');
  await once(thread, 'message');
  const soon = performance.now() + 20_000; // though both may have to share a core
  expect(takeTurns(cells, 0, 3, soon)).toBe(true);
  expect(takeTurns(cells, 3, 2, soon)).toBe(true);
  stopTurns(cells);
  expect(await ended).toEqual([0]);
  expect(takeTurns(cells, 5, 1, performance.now())).toBe(false);
});

test('two threads exchange a line in nanoseconds, or say that they did not run at once', async () => {
  const distance = await measureCoreDistance();
  if (distance !== undefined) expect(distance).toBeGreaterThan(1); // less than a cycle a turn would be no exchange
});
