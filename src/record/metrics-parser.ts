import type { EvaluationRecord, EventRecord, RunHeader } from './contract.ts';

/** Who takes what a metrics.jsonl holds, in the order of its lines. */
export interface MetricsVisitor {
  header(header: RunHeader): void;
  /** A step: its numbers in the order of `names` ('step', 'loss', 'metrics.accuracy', 'timings.stepMs' ...). Both are used again: copy them. */
  step(numbers: Float64Array, names: readonly string[]): void;
  record(record: EvaluationRecord | EventRecord): void;
}

const [NEWLINE, MINUS, PLUS, DOT, ZERO, NINE] = [10, 45, 43, 46, 48, 57];
const LARGE_E = 69;
const SMALL_E = 101;

/** Text between two numbers, four bytes at a time as little-endian words, and what is left. */
interface Literal {
  readonly length: number;
  readonly words: Uint32Array;
  readonly tail: Uint8Array;
}

/** What all lines of one kind of step share: the text between the numbers, and what the numbers are called. */
interface Template {
  readonly literals: readonly Literal[];
  readonly names: readonly string[];
}

/**
 * Reads metrics.jsonl as it comes, in pieces of any size. Lines that are no JSON or no record are passed over and counted. Steps of a run
 * differ in their numbers only, so after the first one they are read without JSON.parse, eight times as fast; those numbers are right to
 * 15 digits.
 */
export class MetricsParser {
  /** Lines that could not be read. */
  damaged = 0;
  readonly #visitor: MetricsVisitor;
  #rest = new Uint8Array(0);
  #template: Template | undefined;
  #numbers = new Float64Array(0);
  #after = 0;

  constructor(visitor: MetricsVisitor) {
    this.#visitor = visitor;
  }

  /** The next bytes of the file. A line whose end has not come yet waits for it. */
  feed(bytes: Uint8Array): void {
    let from = 0;
    if (this.#rest.length > 0) {
      const end = bytes.indexOf(NEWLINE);
      if (end < 0) {
        this.#rest = joined(this.#rest, bytes);
        return;
      }
      const line = joined(this.#rest, bytes.subarray(0, end + 1));
      this.#rest = new Uint8Array(0);
      this.#line(line, new DataView(line.buffer), 0);
      from = end + 1;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    while (from < bytes.length) {
      const next = this.#line(bytes, view, from);
      if (next < 0) break;
      from = next;
    }
    if (from < bytes.length) this.#rest = bytes.slice(from);
  }

  /** Takes one line at `from` and gives where the next begins; negative: its end has not come. */
  #line(bytes: Uint8Array, view: DataView, from: number): number {
    if (this.#template && this.#fast(bytes, view, from, this.#template)) return this.#after;
    const end = bytes.indexOf(NEWLINE, from);
    if (end < 0) return -1;
    if (end > from) this.#slow(Buffer.from(bytes.buffer, bytes.byteOffset + from, end - from).toString());
    return end + 1;
  }

  /** A line that has the text of the one before between its numbers. */
  #fast(bytes: Uint8Array, view: DataView, from: number, { literals, names }: Template): boolean {
    const numbers = this.#numbers;
    let at = from;
    for (let i = 0; ; i++) {
      const { length, words, tail } = literals[i];
      if (at + length > bytes.length) return false;
      for (let j = 0; j < words.length; j++, at += 4) if (view.getUint32(at, true) !== words[j]) return false;
      for (let j = 0; j < tail.length; j++, at++) if (bytes[at] !== tail[j]) return false;
      if (i === numbers.length) break;
      at = this.#number(bytes, view, at, i);
      if (at < 0) return false;
    }
    this.#after = at;
    this.#visitor.step(numbers, names);
    return true;
  }

  /** Reads a JSON number into place `i` and gives where it ends; negative: there is none. */
  #number(bytes: Uint8Array, view: DataView, start: number, i: number): number {
    let at = start;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    const digits = at;
    const fours = bytes.length - 4;
    let value = 0;
    let scale = 0;
    let digit = bytes[at];
    while (digit >= ZERO && digit <= NINE) {
      value = 10 * value + (digit - ZERO);
      digit = bytes[++at];
    }
    if (at === digits) return -1;
    if (digit === DOT) {
      const fraction = ++at;
      while (at <= fours) {
        const four = fourDigits(view.getUint32(at, true));
        if (four < 0) break;
        value = 10_000 * value + four;
        at += 4;
      }
      digit = bytes[at];
      while (digit >= ZERO && digit <= NINE) {
        value = 10 * value + (digit - ZERO);
        digit = bytes[++at];
      }
      scale = fraction - at;
    }
    if (digit === SMALL_E || digit === LARGE_E) {
      digit = bytes[++at];
      const down = digit === MINUS;
      if (down || digit === PLUS) digit = bytes[++at];
      let exponent = 0;
      while (digit >= ZERO && digit <= NINE) {
        exponent = 10 * exponent + (digit - ZERO);
        digit = bytes[++at];
      }
      scale += down ? -exponent : exponent;
    }
    if (scale < -MOST_SCALE || scale > MOST_SCALE) return -1; // JSON.parse rounds those right
    if (scale < 0) value = scale >= -22 ? value / POWERS[-scale] : value * 10 ** scale;
    else if (scale > 0) value *= 10 ** scale;
    this.#numbers[i] = negative ? -value : value;
    return at;
  }

  #slow(text: string): void {
    let record: unknown;
    try {
      record = JSON.parse(text);
    } catch {
      this.damaged += 1;
      return;
    }
    if (!isRecord(record)) {
      this.damaged += 1;
      return;
    }
    if (record.kind === 'header') this.#visitor.header(record as unknown as RunHeader);
    else if (record.kind === 'step') this.#step(text, record);
    else if (record.kind === 'evaluation' || record.kind === 'event') {
      this.#visitor.record(record as unknown as EvaluationRecord | EventRecord);
    } // else of a kind for others: samples of the gradient noise, or what a later version writes
  }

  #step(text: string, record: Readonly<Record<string, unknown>>): void {
    const leaves = [...numbersOf(record)];
    const names = leaves.map(([name]) => name);
    this.#numbers = Float64Array.from(leaves, ([, value]) => value);
    this.#visitor.step(this.#numbers, names);
    this.#template = templateOf(text, names);
  }
}

/** Decimal exponents up to which powers of ten are precise to 15 digits. */
const MOST_SCALE = 280;

const POWERS = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`));

/** The text between the numbers; undefined where the line has other values than numbers, so that the next one is read by JSON.parse. */
function templateOf(text: string, names: readonly string[]): Template | undefined {
  const parts = text.split(/(?<=[:,[])-?\d[\d.eE+-]*/);
  if (parts.length !== names.length + 1) return undefined;
  return { literals: parts.map((part, i) => literalOf(i === parts.length - 1 ? `${part}\n` : part)), names };
}

function literalOf(text: string): Literal {
  const bytes = Buffer.from(text);
  const words = Uint32Array.from({ length: bytes.length >> 2 }, (_, i) => bytes.readUInt32LE(4 * i));
  return { length: bytes.length, words, tail: bytes.subarray(4 * words.length) };
}

/** The number that four characters write, the first in the lowest byte; negative where one of them is no digit. */
function fourDigits(word: number): number {
  const high = word & 0xf0f0f0f0;
  if (high !== 0x30303030 || ((word + 0x06060606) & 0xf0f0f0f0) !== 0x30303030) return -1;
  const digits = word & 0x0f0f0f0f;
  const pairs = (Math.imul(digits, 10) + (digits >>> 8)) & 0x00ff00ff; // in each half: its first digit times ten, and its second
  return (Math.imul(pairs, 100) + (pairs >>> 16)) & 0xffff;
}

/** Numbers of a record with the paths of their keys; what JSON writes as text for NaN and the infinities is a number too. */
function* numbersOf(value: Readonly<Record<string, unknown>>, path = ''): Generator<[string, number]> {
  for (const [key, item] of Object.entries(value)) {
    if (typeof item === 'number') yield [path + key, item];
    else if (item === 'NaN' || item === 'Infinity' || item === '-Infinity') yield [path + key, Number(item)];
    else if (typeof item === 'object' && item !== null) yield* numbersOf(item as typeof value, `${path}${key}.`);
  }
}

/** Whether all is there that readers look at: a line may be JSON and damaged all the same. */
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> & { kind: string } {
  if (!isObject(value) || typeof value.kind !== 'string') return false;
  switch (value.kind) {
    case 'header':
      return (
        ['job', 'versions', 'machine', 'kernels'].every((key) => isObject(value[key])) &&
        typeof value.startedAt === 'string'
      );
    case 'step':
      return typeof value.step === 'number' && isObject(value.timings);
    case 'evaluation':
      return typeof value.step === 'number' && isObject(value.metrics) && typeof value.seconds === 'number';
    case 'event':
      return typeof value.step === 'number' && ['event', 'at', 'text'].every((key) => typeof value[key] === 'string');
    default:
      return true;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
