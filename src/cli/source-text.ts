import type { OptimizerDescription } from '../optim/contract.ts';

/** Values of a schedule that stand for its rate: where another rate goes. */
const RATES = ['peak', 'initial', 'max', 'maxLr', 'base', 'after'];

/** Plain data as a JavaScript literal in the style of this project. */
export function literal(value: unknown): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return numeral(value);
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  if (entries.length === 0) return '{}';
  return `{ ${entries.map(([name, v]) => `${key(name)}: ${literal(v)}`).join(', ')} }`;
}

/** A text in single quotes. */
export function quoted(text: string): string {
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${escaped}'`;
}

/** A rate in two digits: 2.5e-3. */
export function rateText(rate: number): string {
  const [digits, exponent] = rate.toExponential(1).split('e');
  return Number(exponent) >= -1 && Number(exponent) <= 2
    ? String(Number(rate.toPrecision(2)))
    : `${digits.replace(/\.0$/, '')}e${Number(exponent)}`;
}

/** The call that makes a description, with another rate: `adam({ lr: warmupCosine({ peak: 2.5e-3, warmupSteps: 100 }) })`. */
export function optimizerText({ kind, lr, base, ...options }: OptimizerDescription, rate: number): string {
  // A wrapper takes its rate from the optimizer that it wraps.
  if (isDescription(base)) {
    const inner = optimizerText({ ...base, lr }, rate);
    return Object.keys(options).length === 0 ? `${kind}(${inner})` : `${kind}(${inner}, ${literal(options)})`;
  }
  const rest = Object.entries(options).map(([name, value]) => `, ${key(name)}: ${literal(value)}`);
  return `${kind}({ lr: ${scheduleText(lr, rate)}${rest.join('')} })`;
}

function scheduleText(lr: unknown, rate: number): string {
  if (typeof lr !== 'object' || lr === null || !('kind' in lr)) return rateText(rate);
  const { kind, ...options } = lr;
  const at = RATES.find((name) => Object.hasOwn(options, name));
  if (at === undefined) return rateText(rate);
  const entries = Object.entries(options).map(
    ([name, value]) => `${key(name)}: ${name === at ? scheduleText(value, rate) : literal(value)}`,
  );
  return `${String(kind)}({ ${entries.join(', ')} })`;
}

function isDescription(value: unknown): value is OptimizerDescription {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'kind') === 'string';
}

function key(name: string): string {
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? name : quoted(name);
}

function numeral(value: unknown): string {
  if (typeof value !== 'number') return String(value);
  return value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6) && Number.isFinite(value)
    ? value.toExponential().replace('e+', 'e')
    : String(value);
}
