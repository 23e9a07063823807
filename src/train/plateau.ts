import type { PlateauRule, RateChange } from '../optim/schedules.ts';

/** Pure state of `reduceOnPlateau`: what the evaluations so far have led to. */
export interface PlateauState {
  readonly best: number;
  /** Evaluations without improvement, and how many more are not to count. */
  readonly bad: number;
  readonly cooling: number;
  /** All reductions so far; the last one holds. */
  readonly changes: readonly RateChange[];
}

export const PLATEAU_START: PlateauState = { best: Number.NaN, bad: 0, cooling: 0, changes: [] };

/** A rule with the direction of its metric. */
export type CompletePlateauRule = PlateauRule & { readonly mode: 'min' | 'max' };

/** After one more evaluation, made after `step`: PyTorch's ReduceLROnPlateau with a relative threshold. A NaN is no improvement. */
export function nextPlateau(rule: CompletePlateauRule, state: PlateauState, value: number, step: number): PlateauState {
  const better = Number.isNaN(state.best) ? !Number.isNaN(value) : isBetter(rule, state.best, value);
  const best = better ? value : state.best;
  const cooling = Math.max(0, state.cooling - 1);
  const bad = better || state.cooling > 0 ? 0 : state.bad + 1;
  if (bad <= rule.patience) return { ...state, best, bad, cooling };
  const last = state.changes.at(-1)?.factor ?? 1;
  const factor = Math.max(last * rule.factor, rule.minLr / rule.initial);
  const changes = factor < last ? [...state.changes, { from: step + 1, factor }] : state.changes;
  return { best, bad: 0, cooling: rule.cooldown, changes };
}

function isBetter({ mode, threshold }: CompletePlateauRule, best: number, value: number): boolean {
  return mode === 'min' ? value < best * (1 - threshold) : value > best * (1 + threshold);
}
