import { afterEach, expect, test, vi } from 'vitest';
import { AwakeClock } from '../../cluster/awake-clock.ts';
import { Patience } from '../../cluster/patience.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('a clock counts the time in which it ran, and of a time in which it did not at most two beats', () => {
  let now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const heard: number[] = [];
  const clock = new AwakeClock(100, () => heard.push(clock.now()));
  const run = (ms: number) => {
    for (let i = 0; i < ms / 10; i++) {
      now += 10;
      vi.advanceTimersByTime(10);
    }
  };
  run(250);
  expect([clock.now(), heard]).toEqual([250, [100, 200]]);
  now += 3_600_000; // stopped for an hour, with no timer fired
  expect(clock.now()).toBe(400); // two beats after the last
  run(50);
  expect([clock.now(), heard]).toEqual([400, [100, 200, 400]]);
  run(200);
  expect(clock.now()).toBe(600);
  clock.stop();
  run(1000);
  expect(heard).toEqual([100, 200, 400, 500, 600]);
});

test('a step has a deadline as told, or twenty times what the longest took, within bounds', () => {
  const told = new Patience(500);
  const of = (patience: Patience, steps = 1) => [patience.deadlineMs(steps), patience.usualMs(steps)];
  told.learn(10_000, 1);
  expect(of(told)).toEqual([500, 50_000]);
  const learnt = new Patience(0);
  expect(of(learnt)).toEqual([600_000, 2_000]);
  learnt.learn(100, 1);
  expect(of(learnt)).toEqual([60_000, 2_000]);
  learnt.learn(9_000, 1);
  learnt.learn(4_000, 1);
  expect(of(learnt)).toEqual([180_000, 45_000]);
});

test('the first round of many steps has as many times longer than those of one before it, and a short one after it no less', () => {
  const patience = new Patience(0);
  patience.learn(6_000, 1);
  const part = { first: 0, count: 1, epoch: 1, received: new Map(), sentAt: 0 };
  const tooLate = (now: number, steps: number) => patience.tooLate([{ parts: [part] }], now, steps).length;
  expect([tooLate(120_001, 1), tooLate(120_001, 50), tooLate(6_000_001, 50)]).toEqual([1, 0, 1]);
  patience.learn(300_000, 50);
  expect([tooLate(6_000_000, 1), tooLate(6_000_000, 50), tooLate(6_000_001, 50)]).toEqual([0, 0, 1]);
});
