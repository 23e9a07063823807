/** Inputs of an exported model: raw columns, and the fitted transforms that make the model's fields of them. */
import type { FittedTransform } from '../data/contract.ts';
import { Encoder, type Part, partWidth } from '../data/transforms.ts';
import { sizeOf, type Tensor } from '../graph/tensor.ts';
import { cannotExport, type OnnxGraph } from './onnx-graph.ts';
import { type Dim, int, TYPE, type TypeName } from './onnx-proto.ts';

const ROWS: Dim = { perRow: 1 };

/** Writes fields as they are asked for; a column that two fields use is one input. */
export class OnnxInputs {
  readonly #g: OnnxGraph;
  readonly #encoder: Encoder;
  readonly #columns = new Map<string, string>();

  constructor(g: OnnxGraph, transforms: readonly FittedTransform[]) {
    this.#g = g;
    this.#encoder = new Encoder(transforms);
  }

  /** The encoded field that an input of the graph stands for; a field without transforms is an input as it is. */
  field(name: string, { dtype, shape }: Tensor): string {
    const parts = this.#encoder.parts(name);
    if (parts.length === 0) return this.#column(name, dtype === 'i32' ? 'int32' : 'float', shape.slice(1));
    const encoded = parts.map((part) => this.#part(part));
    if (parts[0].at === undefined) return encoded[0];
    const columns = parts.map((part, i) => this.#g.reshape(encoded[i], [ROWS, partWidth(part)]));
    return columns.length === 1 ? columns[0] : this.#g.node('Concat', columns, { axis: int(1) });
  }

  #column(name: string, type: TypeName, shape: readonly number[]): string {
    const key = `${type}/${name}`;
    const known = this.#columns.get(key);
    if (known !== undefined) return known;
    const input = this.#g.input(name, type, [ROWS, ...shape]);
    this.#columns.set(key, input);
    return input;
  }

  #part(part: Part): string {
    const g = this.#g;
    switch (part.kind) {
      case 'tensor':
        if (part.dtype === 'i32') return this.#column(part.column, 'int32', part.shape);
        return this.#number(part.column, part.shape);
      case 'bytes': {
        const scaled = g.node('Mul', [this.#number(part.column, part.shape), g.scalar(part.scale)]);
        return g.node('Add', [scaled, g.scalar(part.shift)]);
      }
      case 'standardize':
        return this.#affine(part.column, part.shape, part.mean, part.std);
      case 'minmax':
        return this.#affine(part.column, part.shape, part.min, part.max.map((high, i) => high - part.min[i])); // biome-ignore format: short
      case 'boolean':
        return g.node('Cast', [this.#column(part.column, 'bool', [])], { to: int(TYPE.float) });
      case 'oneHot': {
        const index = this.#place(part.column, part.values);
        const places = g.int64(part.values.map((_, i) => i), [1, part.values.length]); // biome-ignore format: short
        const hit = g.node('Equal', [g.node('Unsqueeze', [index, g.int64([1])]), places]);
        return g.node('Cast', [hit], { to: int(TYPE.float) });
      }
      case 'labels':
        return g.node('Cast', [this.#label(part)], { to: int(TYPE.int32) });
      case 'text': // ids: splitting text into tokens is not ONNX's business
        return this.#column(part.column, 'int32', [part.length]);
      default:
        return part satisfies never;
    }
  }

  /** A raw number; NaN is what stands for no value. */
  #number(column: string, shape: readonly number[]): string {
    const g = this.#g;
    const x = this.#column(column, 'float', shape);
    const instead = this.#encoder.valueOf(column, null);
    return typeof instead === 'number' ? g.node('Where', [g.node('IsNaN', [x]), g.scalar(instead), x]) : x;
  }

  /** (x - shift) / scale in double precision, as in training. */
  #affine(column: string, shape: readonly number[], shift: readonly number[], scale: readonly number[]): string {
    const g = this.#g;
    const size = sizeOf(shape);
    const all = (values: readonly number[]): string =>
      values.length === 1
        ? g.doubles(values, [])
        : g.doubles(Array.from({ length: size }, (_, i) => values[i % values.length]), shape); // biome-ignore format: short
    const x = g.node('Cast', [this.#number(column, shape)], { to: int(TYPE.double) });
    const y = g.node('Div', [g.node('Sub', [x, all(shift)]), all(scale)]);
    return g.node('Cast', [y], { to: int(TYPE.float) });
  }

  /** Index of a text in `values`, int64; -1 where it is none of them. The empty text is no value. */
  #place(column: string, values: readonly string[]): string {
    const keys = [...values];
    const places = values.map((_, i) => i);
    const instead = this.#encoder.valueOf(column, null);
    if (instead !== undefined && !values.includes('') && values.includes(String(instead))) {
      keys.push('');
      places.push(values.indexOf(String(instead)));
    }
    // One more than the place, because attributes are written without sign; 0 is what is not found.
    const found = this.#g.node(
      'LabelEncoder',
      [this.#column(column, 'string', [])],
      { keys_strings: keys, values_int64s: places.map((place) => place + 1), default_int64: int(0) },
      'ai.onnx.ml',
    );
    return this.#g.node('Sub', [found, this.#g.int64([1], [])]);
  }

  #label(part: Extract<Part, { kind: 'labels' }>): string {
    if (part.type === 'category') return this.#place(part.column, part.values.map(String));
    const g = this.#g;
    if (part.type === 'number') {
      const index = part.values.map((_, i) => i);
      return g.node(
        'LabelEncoder',
        [this.#column(part.column, 'float', [])],
        { keys_floats: part.values.map(Number), values_int64s: index, default_int64: int(0) },
        'ai.onnx.ml',
      );
    }
    if (part.type !== 'boolean') {
      throw cannotExport(`column ${part.column}`, 'texts, numbers or booleans', part.type, 'encode it in the data');
    }
    const [yes, no] = [true, false].map((value) => g.int64([Math.max(0, part.values.indexOf(value))], []));
    return g.node('Where', [this.#column(part.column, 'bool', []), yes, no]);
  }
}
