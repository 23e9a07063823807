import { LockstepError } from '../errors.ts';
import { WIRE_FORMATS, type WireFormat } from '../parallel/wire-format.ts';
import type { Link } from './scenario.ts';

/** What is to be predicted: `nodes=2..1024,link=1gbit/0.5ms,format=bf16`. */
export interface WhatIf {
  readonly nodes: readonly number[];
  /** Workers of each node; absent: as many as this machine has measured. */
  readonly workers?: number;
  readonly link: Link & { readonly name: string };
  /** Absent: all of them. */
  readonly formats: readonly WireFormat[];
  readonly syncEvery: number;
  readonly topology: 'star' | 'tree' | 'both';
  readonly stragglers?: { readonly count: number; readonly factor: number };
  readonly lose?: { readonly count: number; readonly round: number };
  readonly join?: { readonly count: number; readonly round: number };
  /** 'weak': the batch grows with the nodes. */
  readonly mode: 'strong' | 'weak';
}

export const DEFAULT_WHAT_IF = 'nodes=1..64,link=1gbit/0.5ms';
const KEYS = ['nodes', 'workers', 'link', 'format', 'sync', 'topology', 'stragglers', 'lose', 'join', 'mode'] as const;
type Key = (typeof KEYS)[number];
const MOST_NODES = 4096;

/** @throws E_OPTION for what it cannot read. Pure. */
export function parseWhatIf(text: string): WhatIf {
  const given = new Map<Key, string>();
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const key = KEYS.find((k) => k === part.slice(0, Math.max(0, at)).trim());
    if (key === undefined) throw wrong(part, `${KEYS.join('=, ')}=`);
    given.set(key, part.slice(at + 1).trim());
  }
  const value = (key: Key): string | undefined => given.get(key);
  const sync = value('sync');
  const workers = value('workers');
  const stragglers = value('stragglers');
  const format = value('format');
  return {
    nodes: nodesOf(value('nodes') ?? '1..64'),
    ...(workers === undefined ? {} : { workers: whole('workers', workers) }),
    link: parseLink(value('link') ?? '1gbit/0.5ms'),
    formats: format === undefined ? WIRE_FORMATS : [oneOf('format', format, WIRE_FORMATS)],
    syncEvery: sync === undefined ? 1 : whole('sync', sync),
    topology: oneOf('topology', value('topology') ?? 'both', ['star', 'tree', 'both'] as const),
    mode: oneOf('mode', value('mode') ?? 'strong', ['strong', 'weak'] as const),
    ...(stragglers === undefined ? {} : { stragglers: stragglersOf(stragglers) }),
    ...change('lose', value('lose')),
    ...change('join', value('join')),
  };
}

/** `1gbit/0.5ms`, `100mbit/2ms`, `10gbit`. */
export function parseLink(text: string): WhatIf['link'] {
  const match = /^(\d+(?:\.\d+)?)(kbit|mbit|gbit)(?:\/(\d+(?:\.\d+)?)(us|ms|s))?$/i.exec(text);
  const bits = match ? Number(match[1]) * { kbit: 1e3, mbit: 1e6, gbit: 1e9 }[match[2].toLowerCase() as 'kbit'] : 0;
  if (!match || bits <= 0) throw wrong(`link=${text}`, 'a rate and a latency, such as 1gbit/0.5ms');
  const latencyMs = Number(match[3] ?? 0) * { us: 1e-3, ms: 1, s: 1e3 }[(match[4] ?? 'ms').toLowerCase() as 'us'];
  return { name: text, latencyMs, bytesPerMs: bits / 8 / 1000 };
}

/** `2..1024`: doubled from the first to the last; `4`, and lists with `+`: `1+2+3`. */
function nodesOf(text: string): number[] {
  const range = /^(\d+)\.\.(\d+)$/.exec(text);
  if (!range) return text.split('+').map((n) => whole('nodes', n));
  const [first, last] = [whole('nodes', range[1]), whole('nodes', range[2])];
  if (last < first) throw wrong(`nodes=${text}`, 'the smaller number first');
  const nodes: number[] = [];
  for (let n = first; n < last; n *= 2) nodes.push(n);
  return [...nodes, last];
}

/** `3x2`: three that take twice as long. */
function stragglersOf(text: string): { count: number; factor: number } {
  const match = /^(\d+)x(\d+(?:\.\d+)?)$/.exec(text);
  if (!match || Number(match[2]) < 1) throw wrong(`stragglers=${text}`, 'how many, and how slow: 3x2');
  return { count: Number(match[1]), factor: Number(match[2]) };
}

/** `16@5`: sixteen of them in exchange 5. */
function change(key: 'lose' | 'join', text: string | undefined) {
  if (text === undefined) return {};
  const match = /^(\d+)@(\d+)$/.exec(text);
  if (!match || Number(match[2]) < 1) throw wrong(`${key}=${text}`, 'how many and in which exchange: 16@5');
  return { [key]: { count: Number(match[1]), round: Number(match[2]) } };
}

function whole(key: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && value >= 1 && value <= MOST_NODES) return value;
  throw wrong(`${key}=${text}`, `a whole number from 1 to ${MOST_NODES}`);
}

function oneOf<T extends string>(key: string, text: string, names: readonly T[]): T {
  const found = names.find((name) => name === text);
  if (found !== undefined) return found;
  throw wrong(`${key}=${text}`, `one of ${names.join(', ')}`);
}

function wrong(got: string, expected: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: '--what-if',
    expected,
    got: got === '' ? 'nothing' : got,
    fix: 'for example --what-if nodes=2..1024,link=1gbit/0.5ms,format=bf16,topology=star',
  });
}
