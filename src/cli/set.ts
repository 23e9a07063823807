import { closest, LockstepError } from '../errors.ts';
import { resolveOptimizer } from '../optim/catalogue.ts';
import type { Job } from '../train/job.ts';

/** What `--set` may add to a job that does not have it yet; other paths must exist. */
const OPTIONAL = [
  'metrics',
  'clip',
  'clip.globalNorm',
  'clip.tensorNorm',
  'clip.blockRms',
  'clip.adaptive',
  'clip.value',
  'batchSize',
  'epochs',
  'steps',
  'seed',
  'shards',
  'activationBudget',
  'evaluate',
  'evaluate.everySteps',
  'evaluate.everyEpochs',
  'earlyStopping',
  'earlyStopping.monitor',
  'earlyStopping.patience',
  'earlyStopping.minDelta',
  'earlyStopping.mode',
  'deterministic',
  'nonFinite',
  'checkpoint',
  'checkpoint.everySteps',
  'checkpoint.everyEpochs',
  'checkpoint.everyMinutes',
  'checkpoint.keepLast',
  'checkpoint.keepBest',
  'data.validation',
  'data.test',
  'optimizer.lr',
];

/**
 * A copy of the job with `path=value` settings applied in order: `optimizer.lr=0.01`, `clip.globalNorm=1`,
 * `evaluate={"everySteps":100}`. Values are JSON; what is no JSON is a string; `undefined` takes a field away. The path must
 * exist in the job or be an optional field of it, and a value keeps the type of the one that it replaces.
 *
 * @throws E_OPTION that names the setting.
 */
export function applySettings(job: Job, settings: readonly string[]): Job {
  return settings.reduce(applySetting, job);
}

function applySetting(job: Job, setting: string): Job {
  const [path, text] = split(setting);
  const keys = path.split('.');
  const value = parse(text);
  checkPath(job, path, keys);
  checkType(setting, at(job, keys), value);
  const result = replaced(job, keys, value);
  // Options of an optimizer are known to its definition only: an unknown one is refused here, with the closest name.
  if (keys[0] === 'optimizer') resolveOptimizer(result.optimizer);
  return result;
}

function split(setting: string): [string, string] {
  const equals = setting.indexOf('=');
  if (equals > 0) return [setting.slice(0, equals).trim(), setting.slice(equals + 1).trim()];
  throw settingError(setting, 'path=value', 'no "="', 'for example --set optimizer.lr=0.01');
}

function parse(text: string): unknown {
  if (text === 'undefined') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function checkPath(job: Job, path: string, keys: readonly string[]): void {
  if (OPTIONAL.includes(path)) return;
  if (keys[0] === 'optimizer' && keys.length === 2) return;
  const parent = at(job, keys.slice(0, -1));
  if (keys.every((key) => key !== '') && isPlain(parent) && Object.hasOwn(parent, keys[keys.length - 1])) return;
  const known = [...new Set([...OPTIONAL, ...paths(job)])].sort();
  const near = closest(path, known) ?? known.find((name) => name.endsWith(`.${path}`));
  throw settingError(
    path,
    'a field of the job',
    typeof at(job, keys.slice(0, 1)) === 'function' ? `${keys[0]}, which is code` : 'no such field',
    near === undefined ? `fields are ${known.join(', ')}` : `did you mean "${near}"?`,
  );
}

/** A number stays a number; a learning rate may become a schedule and back, a batch size 'full'. */
function checkType(setting: string, before: unknown, after: unknown): void {
  if (before === undefined || after === undefined || typeof before === typeof after) return;
  if (/^optimizer\.lr\b/.test(setting) && (isPlain(after) || typeof after === 'number')) return;
  if (after === 'full' || before === 'full') return;
  const fix = typeof before === 'function' ? 'edit the job: code cannot be set' : 'give a value of that type';
  throw settingError(
    setting,
    typeof before === 'function' ? 'plain data' : article(typeof before),
    typeof before === 'function' ? 'a field that is code' : JSON.stringify(after),
    fix,
  );
}

function article(type: string): string {
  return type === 'object' ? 'an object' : `a ${type}`;
}

/** Copies along the path only. Spreading keeps symbols, which custom optimizers rely on. */
function replaced<T>(holder: T, keys: readonly string[], value: unknown): T {
  const [key, ...rest] = keys;
  const copy: Record<string, unknown> = { ...(isPlain(holder) ? holder : {}) };
  const next = rest.length === 0 ? value : replaced(copy[key], rest, value);
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy as T;
}

function at(value: unknown, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((v, key) => (isPlain(v) && Object.hasOwn(v, key) ? v[key] : undefined), value);
}

/** Paths of the plain values in a job, for suggestions. */
function paths(value: unknown, prefix = '', depth = 0): string[] {
  if (!isPlain(value) || depth > 4) return [];
  return Object.entries(value).flatMap(([key, child]) => {
    if (typeof child === 'function') return [];
    const path = `${prefix}${key}`;
    return isPlain(child) ? [path, ...paths(child, `${path}.`, depth + 1)] : [path];
  });
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

function settingError(setting: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where: `--set ${setting}`, expected, got, fix });
}
