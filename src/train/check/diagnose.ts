import type { StillTensor } from './gradients.ts';
import type { Attempt } from './overfit.ts';
import type { LossBounds, Moments } from './rows.ts';

/** Everything that is known about a batch that could, or could not, be learnt by heart. */
export interface Findings {
  readonly rows: number;
  readonly lossName: string | undefined;
  readonly bounds: LossBounds | undefined;
  readonly parameters: number;
  /** With the job's rate. */
  readonly attempt: Attempt;
  /** With other rates, tried after the job's failed. */
  readonly others: readonly Attempt[];
  /** Of the compiler: softmax before crossEntropy and the like. */
  readonly warnings: readonly string[];
  /** Input fields with numbers far from what layers are made for. */
  readonly unscaled: readonly (Moments & { readonly field: string })[];
  /** Of a regression target, if it is far from normal. */
  readonly target: Moments | undefined;
  readonly still: readonly StillTensor[];
}

export interface Verdict {
  readonly status: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  /** What is wrong and what to do, likeliest first. */
  readonly causes: readonly string[];
}

/** A loss that falls by less than this share in the last quarter has stopped falling. */
const STOPPED = 0.02;

/** Whether the batch was learnt, and if not, why. Pure. */
export function diagnose(f: Findings): Verdict {
  const { attempt, bounds, warnings } = f;
  const final = attempt.losses[attempt.losses.length - 1] ?? Number.NaN;
  const course = `loss ${text(attempt.first)} -> ${text(final)} in ${attempt.steps} steps`;
  const floor =
    bounds && bounds.floor > 1e-6 ? `, noise floor ${text(bounds.floor)} (equal inputs, different targets)` : '';
  if (attempt.learnt) return { status: 'ok', detail: `${course}${floor}`, causes: [] };
  if (warnings.length === 0 && attempt.accuracy === 1) {
    return { status: 'ok', detail: `${course}: all ${f.rows} rows right, the loss has a floor of its own`, causes: [] };
  }
  const stopped = hasStopped(attempt.losses);
  if (stopped && bounds && final < 0.9 * bounds.constant && f.parameters < f.rows && f.unscaled.length === 0) {
    const detail = `${course}${floor}: as far as ${f.parameters} parameters go`;
    return { status: 'ok', detail, causes: [] };
  }
  const causes = causesOf(f, final, stopped);
  const slow = !stopped && final < attempt.first && f.others.some((o) => o.learnt && o.lr > attempt.lr);
  return { status: slow && causes.length === 1 ? 'warning' : 'failed', detail: `${course}${floor}`, causes };
}

function causesOf(f: Findings, final: number, stopped: boolean): string[] {
  const { attempt } = f;
  const causes = [...f.warnings];
  for (const { field, element, mean, std } of f.unscaled) {
    causes.push(
      `field ${field} is not normalised (element ${element}: mean ${text(mean)}, standard deviation ${text(std)}); csv and idx ` +
        `normalise by default, elsewhere normalize: { ${field}: 'standard' }`,
    );
  }
  if (f.target) {
    causes.push(
      `the target lies far from 0 (mean ${text(f.target.mean)}, standard deviation ${text(f.target.std)}) and the model begins near it: ` +
        `end the model with ops.add(ops.mul(output, ${text(f.target.std)}), ${text(f.target.mean)})`,
    );
  }
  const better = f.others.find((o) => o.learnt);
  if (better) {
    const how = better.lr > attempt.lr ? 'too small' : 'too large';
    causes.push(
      `learning rate ${text(attempt.lr)} is ${how}: with ${text(better.lr)} the loss falls to ${text(last(better))}; put that into the ` +
        'job, or ask lockstep lr-find',
    );
  } else if (Number.isNaN(final) || final > attempt.first) {
    causes.push(
      `the loss rises with learning rate ${text(attempt.lr)}, and others do not help: clip: { globalNorm: 1 }, and look for extreme values in the data`,
    );
  }
  const dead = f.still.filter((t) => t.still === t.units);
  if (dead.length > 0) {
    causes.push(
      `no gradient reaches ${list(dead.map((t) => t.name))}: dead or saturated activations, initial values of 0, or a branch that the ` +
        'loss does not read; try leakyRelu or gelu, the default initialisers, a smaller learning rate',
    );
  } else {
    const half = f.still.filter((t) => 2 * t.still > t.units);
    if (half.length > 0) {
      const [{ name, still, units }] = half;
      causes.push(
        `${still} of ${units} units of ${name} get no gradient from any row (dead activations): try leakyRelu or gelu`,
      );
    }
  }
  if (causes.length === 0 && stopped && f.bounds && final > 0.98 * f.bounds.constant) {
    causes.push(
      'the model answers every row alike: the inputs do not reach the output, or say nothing about the target; look at the columns, the ' +
        'order of rows and targets, and at lockstep summary',
    );
  }
  if (causes.length === 0) {
    causes.push(
      `no single cause found; a model of ${f.parameters} parameters may be too small for ${f.rows} rows, regularisation (dropout, weight ` +
        'decay, label smoothing) too strong, or a loss of your own may have a floor above 0',
    );
  }
  return causes;
}

function hasStopped(losses: readonly number[]): boolean {
  const before = losses[Math.floor(0.75 * (losses.length - 1))];
  const now = losses[losses.length - 1];
  return Math.abs(before - now) <= STOPPED * Math.abs(before);
}

function last({ losses }: Attempt): number {
  return losses[losses.length - 1] ?? Number.NaN;
}

function list(names: readonly string[]): string {
  return names.length > 4 ? `${names.slice(0, 4).join(', ')} and ${names.length - 4} more` : names.join(', ');
}

function text(value: number): string {
  return String(Number(value.toPrecision(3)));
}
