/**
 * The optimizer's progress in shared memory: number of updates and persistent state after each step, in two places for even
 * and odd steps. Rank 0 writes the place of step t before the update of t begins, so the place of t - 1 stays whole until
 * every block has the epoch of t; a worker that starts in the middle of a run reads where it stands.
 *
 * One place is [step, updates, ...state], f64.
 */
export interface Progress {
  readonly updates: number;
  readonly state: Readonly<Record<string, number>>;
}

const HEAD = 2;

/** Doubles that one place takes. */
export function progressWidth(stateNames: readonly string[]): number {
  return HEAD + stateNames.length;
}

export function writeProgress(
  places: Float64Array,
  step: number,
  updates: number,
  state: Readonly<Record<string, number>>,
): void {
  const names = Object.keys(state);
  const at = placeOf(step, progressWidth(names));
  places[at] = step;
  places[at + 1] = updates;
  for (let i = 0; i < names.length; i++) places[at + HEAD + i] = state[names[i]];
}

/** What was written for `step`; undefined when that place holds another step. */
export function readProgress(places: Float64Array, step: number, stateNames: readonly string[]): Progress | undefined {
  const at = placeOf(step, progressWidth(stateNames));
  if (places[at] !== step) return undefined;
  const state: Record<string, number> = {};
  stateNames.forEach((name, i) => {
    state[name] = places[at + HEAD + i];
  });
  return { updates: places[at + 1], state };
}

function placeOf(step: number, width: number): number {
  return (step % 2) * width;
}
