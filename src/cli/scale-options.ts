import { InvalidArgumentError } from 'commander';
import { LockstepError } from '../errors.ts';
import { parseLink, parseWhatIf, type WhatIf } from '../scaling/what-if.ts';
import type { JobOptions } from './options.ts';

export interface ScaleCommandOptions extends JobOptions {
  readonly workers?: readonly number[];
  readonly nodes?: readonly number[];
  readonly mode?: 'strong' | 'weak' | 'both';
  readonly rounds?: number;
  readonly seconds?: number;
  readonly link?: WhatIf['link'];
  readonly whatIf?: WhatIf;
  readonly workloads?: readonly string[];
  readonly noise: boolean;
  readonly trace?: string;
  readonly out?: string;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** `1,2,4`. */
export function sizeList(text: string): number[] {
  const sizes = text.split(',').map((part) => (/^\d+$/.test(part.trim()) ? Number(part) : Number.NaN));
  if (sizes.every((n) => Number.isSafeInteger(n) && n >= 1)) return sizes;
  throw new InvalidArgumentError('whole numbers of at least 1, separated by commas');
}

/** `nodes=2..1024,link=1gbit/0.5ms`. */
export const whatIf = (text: string): WhatIf => asArgument(() => parseWhatIf(text));

/** `1gbit/0.5ms`. */
export const linkSpeed = (text: string): WhatIf['link'] => asArgument(() => parseLink(text));

function asArgument<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    throw new InvalidArgumentError(`${error.detail.expected} (got ${error.detail.got})`);
  }
}
