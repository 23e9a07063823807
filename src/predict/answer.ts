import type { FieldInfo } from '../data/contract.ts';
import type { Part } from '../data/transforms.ts';
import { LockstepError } from '../errors.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { Head, Stage } from './machine.ts';

/** One of several classes: the model was trained with crossEntropy. */
export interface Classification {
  /** Index of the most probable class, from 0. */
  readonly label: number;
  /** Its name in the training data; its index as text where the data has no names. */
  readonly className: string;
  /** Probability of each class by name; they sum to 1. */
  readonly probabilities: Readonly<Record<string, number>>;
}

/** Yes or no: the model was trained with binaryCrossEntropy. */
export interface BinaryAnswer {
  /** 1 if the probability is above one half, else 0. */
  readonly label: 0 | 1;
  /** The label's name in the training data, where it has one. */
  readonly className?: string;
  /** That the label is 1. */
  readonly probability: number;
}

/** A number, or several: regression and models with a loss of their own. */
export interface Regression {
  /** In the units of the raw data; a list, nested by shape, where the output has several numbers a row. */
  readonly value: number | NestedNumbers;
}

export type NestedNumbers = readonly (number | NestedNumbers)[];

/** An answer for each position or each of several labels of a row: nested lists by shape. */
export type Nested<A> = A | readonly Nested<A>[];

/** What a model says about one output. */
export type Answer = Nested<Classification> | Nested<BinaryAnswer> | Regression;

/** About a row: the answer of the only output, else answers by output name. */
export type Prediction = Answer | Readonly<Record<string, Answer>>;

export type AnswerKind = 'classification' | 'binary' | 'regression';

/** One output and what its numbers mean. Plain data. */
export interface OutputMeaning {
  readonly name: string;
  readonly kind: AnswerKind;
  /** Names of the classes, by label; of the two labels for a binary answer. */
  readonly classNames?: readonly string[];
  /** The target's transform, to give values in raw units. */
  readonly target?: Part;
  /** Shape of one row. */
  readonly shape: readonly number[];
}

const KINDS: Readonly<Record<string, AnswerKind>> = {
  crossEntropy: 'classification',
  binaryCrossEntropy: 'binary',
};

export interface MeaningSource {
  readonly loss: { readonly name: string; readonly output?: string | undefined; readonly target?: string | undefined };
  readonly fields: readonly FieldInfo[];
  /** Parts that make a field. */
  readonly parts: (field: string) => readonly Part[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly number[] }[];
}

/** An answer names the probability of each: a bound for what a damaged file may ask for. */
const MOST_CLASSES = 2 ** 22;

function tooManyClasses(name: string, classes: number): LockstepError {
  return new LockstepError('E_CHECKPOINT', {
    where: `model output ${name}`,
    expected: `at most ${MOST_CLASSES} classes`,
    got: String(classes),
    fix: 'the file is damaged or was not written by Lockstep: use another checkpoint',
  });
}

/** What the outputs mean, from the loss that trained them. Outputs that it does not name are numbers. */
export function meaningOf({ loss, fields, parts, outputs }: MeaningSource): OutputMeaning[] {
  const named = loss.output ?? (outputs.length === 1 ? outputs[0].name : 'output');
  const targetName = loss.target ?? 'y';
  return outputs.map(({ name, shape: [, ...shape] }): OutputMeaning => {
    const kind = name === named && Object.hasOwn(KINDS, loss.name) ? KINDS[loss.name] : 'regression';
    if (name !== named || loss.name === 'custom') return { name, kind: 'regression', shape };
    const classNames = fields.find((f) => f.name === targetName)?.classNames;
    if (kind === 'regression') {
      const [target, ...more] = parts(targetName);
      return target && more.length === 0 ? { name, kind, shape, target } : { name, kind, shape };
    }
    if (kind === 'binary') return classNames?.length === 2 ? { name, kind, shape, classNames } : { name, kind, shape };
    const classes = shape[shape.length - 1] ?? 1;
    if (classes > MOST_CLASSES) throw tooManyClasses(name, classes);
    return { name, kind, shape, classNames: Array.from({ length: classes }, (_, i) => classNames?.[i] ?? String(i)) };
  });
}

/** What the machine computes behind the outputs. */
export function headsOf(meanings: readonly OutputMeaning[]): Record<string, Head> {
  return Object.fromEntries(
    meanings.flatMap(({ name, kind }): [string, Head][] =>
      kind === 'regression' ? [] : [[name, kind === 'binary' ? 'sigmoid' : 'softmax']],
    ),
  );
}

/** Reads answers out of a machine that has just run. */
export interface AnswerReader {
  /** The answer for row `row` of the stage. */
  read(stage: Stage, row: number): Prediction;
}

export function answerReader(meanings: readonly OutputMeaning[]): AnswerReader {
  const readers = meanings.map((m) => [m.name, readerOf(m)] as const);
  if (readers.length === 1) return { read: readers[0][1] };
  return { read: (stage, row) => Object.fromEntries(readers.map(([name, read]) => [name, read(stage, row)])) };
}

function readerOf(meaning: OutputMeaning): (stage: Stage, row: number) => Answer {
  const { name, kind, shape } = meaning;
  const width = sizeOf(shape);
  switch (kind) {
    case 'classification': {
      const names = meaning.classNames ?? [];
      return (stage, row) => {
        const logits = stage.output(name).data;
        const probabilities = stage.probabilities(name);
        return nest(shape.slice(0, -1), row * (width / names.length), (i) =>
          classification(logits, probabilities, i * names.length, names),
        );
      };
    }
    case 'binary':
      return (stage, row) => {
        const logits = stage.output(name).data;
        const probabilities = stage.probabilities(name);
        return nest(withoutColumn(shape), row * width, (i) => binary(logits[i], probabilities[i], meaning.classNames));
      };
    case 'regression': {
      const raw = rawUnits(meaning.target, width);
      return (stage, row) => {
        const { data } = stage.output(name);
        return { value: nest(withoutColumn(shape), row * width, (i) => raw(data[i], i - row * width)) };
      };
    }
    default:
      return kind satisfies never;
  }
}

function classification(
  logits: ArrayLike<number>,
  probabilities: ArrayLike<number>,
  begin: number,
  names: readonly string[],
): Classification {
  let label = 0; // the first of the largest, as the metric counts
  for (let i = 1; i < names.length; i++) if (logits[begin + i] > logits[begin + label]) label = i;
  const byName: Record<string, number> = {};
  for (let i = 0; i < names.length; i++) byName[names[i]] = probabilities[begin + i];
  return { label, className: names[label], probabilities: byName };
}

function binary(logit: number, probability: number, names: readonly string[] | undefined): BinaryAnswer {
  const label = logit > 0 ? 1 : 0;
  return names ? { label, className: names[label], probability } : { label, probability };
}

/** [n, 1] is one number a row. */
function withoutColumn(shape: readonly number[]): readonly number[] {
  return shape.length === 1 && shape[0] === 1 ? [] : shape;
}

/** Lists nested by `shape` of what `read` gives for consecutive indices from `begin` on. */
function nest<A>(shape: readonly number[], begin: number, read: (index: number) => A): Nested<A> {
  const [length, ...inner] = shape;
  if (length === undefined) return read(begin);
  const step = sizeOf(inner);
  return Array.from({ length }, (_, i) => nest(inner, begin + i * step, read));
}

/** Back from the numbers that the model was trained on to those of the raw data: f64, rounded nowhere. */
function rawUnits(part: Part | undefined, width: number): (x: number, element: number) => number {
  switch (part?.kind) {
    case 'standardize':
      if (width % part.std.length !== 0) break;
      return (x, i) => x * part.std[i % part.std.length] + part.mean[i % part.mean.length];
    case 'minmax':
      if (width % part.min.length !== 0) break;
      return (x, i) => {
        const low = part.min[i % part.min.length];
        return x * (part.max[i % part.max.length] - low) + low;
      };
    case 'bytes':
      return (x) => (part.scale === 0 ? x : (x - part.shift) / part.scale);
  }
  return (x) => x;
}

/** Throws E_OPTION unless the only output answers as the user expects. */
export function requireKind(meanings: readonly OutputMeaning[], kind: AnswerKind): void {
  const [only] = meanings;
  if (meanings.length === 1 && only.kind === kind) return;
  throw new LockstepError('E_OPTION', {
    where: 'Predictor.load: kind',
    expected:
      meanings.length === 1 ? `'${only.kind}', which this model gives` : 'nothing: the model has several outputs',
    got: `'${kind}'`,
    fix: 'load the model that was meant, or leave `kind` out',
  });
}
