import { InvalidArgumentError } from 'commander';
import type { DashboardOption } from './dashboard.ts';
import type { JobOptions } from './options.ts';

export interface CompareCommandOptions extends JobOptions {
  /** Trials at a time. */
  readonly workers?: number | 'auto';
  readonly optimizers?: readonly string[];
  readonly learningRates?: readonly number[];
  readonly budget?: number;
  readonly target?: { readonly metric: string; readonly value: number };
  readonly metric?: string;
  readonly seeds?: number;
  readonly finalists?: number;
  /** Instead of jobs. */
  readonly suite?: 'claims';
  readonly runDir?: string;
  readonly resume?: boolean;
  readonly dashboard?: DashboardOption;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** `adam,sgd`. */
export function nameList(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.every((name) => name !== '')) return names;
  throw new InvalidArgumentError('names separated by commas');
}

/** `0.001,0.01`; whether they are > 0 is checked with the job. */
export function rateList(text: string): number[] {
  const rates = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (rates.every((rate) => Number.isFinite(rate) && rate > 0)) return rates;
  throw new InvalidArgumentError('numbers > 0 separated by commas');
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** `90s`, `10m`, `1.5h`: seconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text);
  const seconds = match ? Number(match[1]) * UNITS[match[2]] : 0;
  if (seconds > 0) return seconds;
  throw new InvalidArgumentError('a time such as 90s, 10m or 1h');
}

/** `val.accuracy=0.97`. */
export function target(text: string): { metric: string; value: number } {
  const [metric, value, ...rest] = text.split('=').map((part) => part.trim());
  if (metric !== '' && value && rest.length === 0 && Number.isFinite(Number(value)))
    return { metric, value: Number(value) };
  throw new InvalidArgumentError('metric=value, for example val.accuracy=0.97');
}

/** `claims`. */
export function suite(text: string): 'claims' {
  if (text === 'claims') return text;
  throw new InvalidArgumentError("'claims', the only suite");
}
