import { expect, test } from 'vitest';
import { completeRule, nextStopping, STOPPING_START } from '../../src/train/early-stopping.ts';

const rule = { monitor: 'val.loss', patience: 2, minDelta: 0.1, mode: 'min' } as const;

function run(values: number[], mode: 'min' | 'max' = 'min'): number {
  let state = STOPPING_START;
  for (const [i, value] of values.entries()) {
    const next = nextStopping({ ...rule, mode }, state, value);
    state = next.state;
    if (next.stop) return i;
  }
  return -1;
}

test('stops after `patience` evaluations without a gain above minDelta', () => {
  expect(run([1, 0.8, 0.75, 0.72])).toBe(3); // 0.75 and 0.72 gain less than 0.1 on 0.8
  expect(run([1, 0.8, 0.75, 0.65, 0.6])).toBe(-1);
  expect(run([0.5, 0.7, 0.75, 0.9], 'max')).toBe(-1);
  expect(run([0.9, 0.7, 0.75], 'max')).toBe(2);
});

test('a NaN is no improvement and does not become the best', () => {
  expect(run([Number.NaN, Number.NaN])).toBe(1);
  expect(run([1, Number.NaN, 0.5, 0.4])).toBe(-1);
});

test('the direction comes from the metric; a name that nothing reports is refused', () => {
  const reported = new Map([
    ['val.loss', 'min'],
    ['val.accuracy', 'max'],
  ] as const);
  const { mode, ...open } = rule;
  expect(completeRule({ ...open, monitor: 'val.accuracy' }, reported).mode).toBe('max');
  expect(completeRule({ ...open, mode }, reported).mode).toBe('min');
  expect(() => completeRule({ ...open, monitor: 'val.acuracy' }, reported)).toThrow(/did you mean val.accuracy/);
  expect(() => completeRule(open, new Map())).toThrow(/validation/);
});
