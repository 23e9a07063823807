import { expect, test } from 'vitest';
import { describeMachine, warnIfLoaded } from '../../src/scaling/machine.ts';

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
