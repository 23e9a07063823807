/**
 * A run's progress in shared memory: number of updates, bad steps in a row, persistent numbers of the optimizer and what the record of the step says of it,
 * in two places for even and odd steps. Rank 0 writes the place of step t before the update of t begins, so the place of t - 1
 * stays whole until every block has the epoch of t; a worker that starts in the middle of a run reads where it stands.
 *
 * One place is [step, updates, bad in a row, lr, gradNorm, clipScale, skipped, ...state], f64.
 */
export interface Progress {
  readonly updates: number;
  /** Steps in a row, up to this one, that were skipped because their numbers were not finite. */
  readonly badInARow: number;
  readonly state: Readonly<Record<string, number>>;
}

/** What became of a step, for its record. */
export interface StepOutcome {
  readonly lr: number;
  readonly gradNorm: number;
  readonly clipScale: number;
  readonly skipped: boolean;
}

const HEAD = 7;
const UNKNOWN: StepOutcome = { lr: 0, gradNorm: 0, clipScale: 0, skipped: false };

/** Doubles that one place takes. */
export function progressWidth(stateNames: readonly string[]): number {
  return HEAD + stateNames.length;
}

/** `state`: as many numbers as there are names, in their order. */
export function writeProgress(
  places: Float64Array,
  step: number,
  { updates, badInARow }: Omit<Progress, 'state'>,
  state: ArrayLike<number>,
  { lr, gradNorm, clipScale, skipped }: StepOutcome = UNKNOWN,
): void {
  const at = placeOf(step, HEAD + state.length);
  places[at] = step;
  places[at + 1] = updates;
  places[at + 2] = badInARow;
  places[at + 3] = lr;
  places[at + 4] = gradNorm;
  places[at + 5] = clipScale;
  places[at + 6] = skipped ? 1 : 0;
  places.set(state, at + HEAD);
}

/** What was written for `step`; undefined when that place holds another step. */
export function readProgress(
  places: Float64Array,
  step: number,
  stateNames: readonly string[],
): (Progress & { readonly outcome: StepOutcome }) | undefined {
  const at = placeOf(step, progressWidth(stateNames));
  if (places[at] !== step) return undefined;
  const state: Record<string, number> = {};
  stateNames.forEach((name, i) => {
    state[name] = places[at + HEAD + i];
  });
  const [updates, badInARow, lr, gradNorm, clipScale, skipped] = places.subarray(at + 1, at + HEAD);
  return { updates, badInARow, state, outcome: { lr, gradNorm, clipScale, skipped: skipped === 1 } };
}

function placeOf(step: number, width: number): number {
  return (step % 2) * width;
}
