/** What an exported model gives: its outputs as they are, and behind them what a Predictor makes of them. */
import type { Part } from '../data/transforms.ts';
import { sizeOf } from '../graph/tensor.ts';
import type { OutputMeaning } from '../predict/answer.ts';
import type { OnnxGraph } from './onnx-graph.ts';
import { type Dim, int, TYPE } from './onnx-proto.ts';

export interface WrittenOutput {
  readonly meaning: OutputMeaning;
  readonly tensor: string;
  readonly dtype: 'f32' | 'i32';
  readonly shape: readonly Dim[];
}

/**
 * Every output under its own name; then `probabilities` and `label` (classification), `probability` (binary) or `value` (a number in
 * the units of the raw data, where training scaled the target), with the output's name before it where there are several. Gives
 * the metadata: names of the classes as JSON.
 */
export function writeAnswers(g: OnnxGraph, outputs: readonly WrittenOutput[]): Record<string, string> {
  const metadata: Record<string, string> = {};
  for (const { meaning, tensor, dtype, shape } of outputs) {
    g.output(meaning.name, tensor, dtype === 'i32' ? 'int32' : 'float', shape);
    const name = (what: string): string => (outputs.length === 1 ? what : `${meaning.name}/${what}`);
    if (meaning.classNames) metadata[name('classNames')] = JSON.stringify(meaning.classNames);
    if (meaning.kind === 'classification') {
      const axis = int(shape.length - 1);
      g.output(name('probabilities'), g.node('Softmax', [tensor], { axis }), 'float', shape);
      const label = g.node('ArgMax', [tensor], { axis, keepdims: int(0) });
      g.output(name('label'), label, 'int64', shape.slice(0, -1));
    } else if (meaning.kind === 'binary') {
      g.output(name('probability'), g.node('Sigmoid', [tensor]), 'float', shape);
    } else {
      const scale = rawScale(meaning.target);
      if (scale) g.output(name('value'), rawUnits(g, tensor, meaning, scale), 'float', shape);
    }
  }
  return metadata;
}

interface Scale {
  readonly factor: readonly number[];
  readonly term: readonly number[];
}

/** Back to the units of the raw data: x * factor + term. */
function rawScale(part: Part | undefined): Scale | undefined {
  switch (part?.kind) {
    case 'standardize':
      return { factor: part.std, term: part.mean };
    case 'minmax':
      return { factor: part.max.map((high, i) => high - part.min[i]), term: part.min };
    case 'bytes':
      return part.scale === 0 ? undefined : { factor: [1 / part.scale], term: [-part.shift / part.scale] };
    default:
      return undefined;
  }
}

function rawUnits(g: OnnxGraph, x: string, { shape }: OutputMeaning, { factor, term }: Scale): string {
  const size = sizeOf(shape);
  const all = (values: readonly number[]): string =>
    values.length === 1
      ? g.doubles(values, [])
      : g.doubles(Array.from({ length: size }, (_, i) => values[i % values.length]), shape); // biome-ignore format: short
  const wide = g.node('Cast', [x], { to: int(TYPE.double) });
  const raw = g.node('Add', [g.node('Mul', [wide, all(factor)]), all(term)]);
  return g.node('Cast', [raw], { to: int(TYPE.float) });
}
