import { expect, test } from 'vitest';
import { reduceOnPlateau } from '../../src/optim/index.ts';
import { parseSchedule, plateauRule, rateFactor } from '../../src/optim/schedules.ts';
import { nextPlateau, PLATEAU_START } from '../../src/train/plateau.ts';
import golden from '../golden/schedules-pytorch-1.13.json' with { type: 'json' };

interface TorchOptions {
  readonly mode?: string;
  readonly patience?: number;
  readonly factor?: number;
  readonly threshold?: number;
  readonly cooldown?: number;
  readonly min_lr?: number;
}

function rule({ min_lr, mode, ...options }: TorchOptions) {
  const direction = mode === 'max' ? 'max' : 'min';
  const found = plateauRule(
    parseSchedule(reduceOnPlateau({ initial: 0.5, ...options, ...(min_lr && { minLr: min_lr }) })),
  );
  if (!found) throw new Error('no rule');
  return { ...found, mode: direction } as const;
}

test.each(Object.entries(golden.plateaus))("%s: the rates of PyTorch's ReduceLROnPlateau", (_, { options, rates }) => {
  let state = PLATEAU_START;
  expect(new Set(rates).size).toBeGreaterThan(1);
  for (const [i, value] of golden.values.entries()) {
    state = nextPlateau(rule(options), state, value, 10 * (i + 1));
    // The reduction holds from the step after the evaluation on; what came before keeps its rate.
    expect(0.5 * rateFactor(state.changes, 10 * (i + 1) + 1)).toBeCloseTo(rates[i], 12);
    expect(0.5 * rateFactor(state.changes, 10 * (i + 1))).toBeCloseTo(i === 0 ? 0.5 : rates[i - 1], 12);
  }
});

test('a NaN is no improvement, and not the best of later ones', () => {
  let state = PLATEAU_START;
  for (const value of [Number.NaN, 1, Number.NaN, Number.NaN])
    state = nextPlateau(rule({ patience: 1 }), state, value, 1);
  expect(state.best).toBe(1);
  expect(state.changes).toHaveLength(1);
});
