/**
 * A line search for the strong Wolfe conditions: Nocedal & Wright, "Numerical Optimization", algorithms 3.5 and 3.6, with the cubic
 * interpolation and safeguards of Schmidt's minFunc, which PyTorch's L-BFGS has too. It sees the function along the line
 * only: value and slope at a distance.
 */
export interface LinePoint {
  readonly value: number;
  readonly slope: number;
}

export interface LineSearchLimits {
  readonly c1: number;
  readonly c2: number;
  readonly maxEvaluations: number;
  readonly toleranceChange: number;
}

interface Trial extends LinePoint {
  readonly t: number;
}

/**
 * Distance to go, from `trial` on; the best that `maxEvaluations` find where none fulfils the conditions.
 *
 * @param longest largest absolute element of the direction: a bracket shorter than toleranceChange in it is the end.
 */
export function strongWolfe(
  evaluate: (t: number) => LinePoint,
  start: LinePoint,
  trial: number,
  longest: number,
  { c1, c2, maxEvaluations, toleranceChange }: LineSearchLimits,
): number {
  const at = (t: number): Trial => {
    const { value, slope } = evaluate(t);
    // Where the numbers break it is too far.
    return Number.isFinite(value) && Number.isFinite(slope)
      ? { t, value, slope }
      : { t, value: Number.POSITIVE_INFINITY, slope: Number.NaN };
  };
  const decreases = ({ t, value }: Trial): boolean => value <= start.value + c1 * t * start.slope;
  const flat = ({ slope }: Trial): boolean => Math.abs(slope) <= -c2 * start.slope;

  let previous: Trial = { t: 0, ...start };
  let current = at(trial);
  let evaluations = 1;
  let bracket: [Trial, Trial] | undefined;
  for (let iteration = 0; iteration < maxEvaluations; iteration++) {
    if (!decreases(current) || (iteration > 0 && current.value >= previous.value)) {
      bracket = [previous, current];
      break;
    }
    if (flat(current)) return current.t;
    if (current.slope >= 0) {
      bracket = [previous, current];
      break;
    }
    const [low, high] = [current.t + 0.01 * (current.t - previous.t), current.t * 10];
    const next = at(cubicMinimum(previous, current, low, high));
    previous = current;
    current = next;
    evaluations += 1;
  }
  bracket ??= [{ t: 0, ...start }, current];
  return zoom(at, bracket, decreases, flat, longest, maxEvaluations - evaluations, toleranceChange);
}

/** Narrows a bracket that holds an acceptable point. */
function zoom(
  at: (t: number) => Trial,
  [first, second]: [Trial, Trial],
  decreases: (trial: Trial) => boolean,
  flat: (trial: Trial) => boolean,
  longest: number,
  evaluations: number,
  toleranceChange: number,
): number {
  let [low, high] = first.value <= second.value ? [first, second] : [second, first];
  let stuck = false;
  for (let left = evaluations; left > 0; left--) {
    const width = Math.abs(high.t - low.t);
    if (width * longest < toleranceChange) break;
    const [from, to] = [Math.min(low.t, high.t), Math.max(low.t, high.t)];
    let t = cubicMinimum(low, high, from, to);
    // Near an end twice in a row, or at it: a tenth of the bracket away from it.
    const margin = 0.1 * (to - from);
    if (Math.min(to - t, t - from) < margin) {
      if (stuck || t >= to || t <= from) {
        t = Math.abs(t - to) < Math.abs(t - from) ? to - margin : from + margin;
        stuck = false;
      } else stuck = true;
    } else stuck = false;
    const trial = at(t);
    if (!decreases(trial) || trial.value >= low.value) {
      [low, high] = low.value <= trial.value ? [low, trial] : [trial, low];
      continue;
    }
    if (flat(trial)) return trial.t;
    if (trial.slope * (high.t - low.t) >= 0) high = low;
    low = trial;
  }
  return low.t;
}

/** Minimum of the cubic through two points with slopes, within bounds; the middle where there is none. */
function cubicMinimum(a: Trial, b: Trial, low: number, high: number): number {
  const [left, right] = a.t <= b.t ? [a, b] : [b, a];
  const d1 = left.slope + right.slope - (3 * (left.value - right.value)) / (left.t - right.t);
  const square = d1 * d1 - left.slope * right.slope;
  if (!(square >= 0) || square === Number.POSITIVE_INFINITY) return (low + high) / 2;
  const d2 = Math.sqrt(square);
  const t = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2));
  return Number.isNaN(t) ? (low + high) / 2 : Math.min(Math.max(t, low), high);
}
