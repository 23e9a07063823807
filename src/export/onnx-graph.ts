import { LockstepError } from '../errors.ts';
import { sizeOf } from '../graph/tensor.ts';
import {
  type Attribute,
  type Dim,
  type GraphParts,
  nodeProto,
  type TypeName,
  tensorProto,
  valueProto,
} from './onnx-proto.ts';
import type { Message } from './protobuf.ts';

/** The error for what ONNX, or this writer, cannot say. */
export function cannotExport(where: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_EXPORT', { where, expected, got, fix });
}

/** A graph under construction. Tensors are known by name; constants that are equal are one. */
export class OnnxGraph implements GraphParts {
  readonly nodes: Message[] = [];
  readonly initializers: Message[] = [];
  readonly inputs: Message[] = [];
  readonly outputs: Message[] = [];
  readonly inputNames: string[] = [];
  readonly outputNames: string[] = [];
  readonly #names = new Set<string>();
  readonly #constants = new Map<string, string>();
  #rows: string | undefined;

  /** `name`, or with a number behind it where it is taken. */
  unique(name: string): string {
    let free = name;
    for (let i = 1; this.#names.has(free); i++) free = `${name}_${i}`;
    this.#names.add(free);
    return free;
  }

  input(name: string, type: TypeName, shape: readonly Dim[]): string {
    const own = this.unique(name);
    this.inputs.push(valueProto(own, type, shape));
    this.inputNames.push(own);
    return own;
  }

  /** Gives the tensor `from` out as `name`. */
  output(name: string, from: string, type: TypeName, shape: readonly Dim[]): string {
    const own = this.unique(name);
    this.nodes.push(nodeProto('Identity', [from], [own], {}, ''));
    this.outputs.push(valueProto(own, type, shape));
    this.outputNames.push(own);
    return own;
  }

  /** Appends a node and gives the name of its only (or first) result. */
  node(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string {
    const [result] = this.results(op, 1, inputs, attributes, domain);
    return result;
  }

  /** Likewise, with several results. */
  results(
    op: string,
    count: number,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string[] {
    const outputs = Array.from({ length: count }, () => this.unique(op));
    this.nodes.push(nodeProto(op, inputs, outputs, attributes, domain));
    return outputs;
  }

  /** A parameter of the model. */
  parameter(name: string, shape: readonly number[], data: Float32Array): string {
    const own = this.unique(name);
    this.initializers.push(tensorProto(own, 'float', shape, bytesOf(data)));
    return own;
  }

  floats(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.#constant('float', shape, Float32Array.from(values));
  }

  doubles(values: readonly number[], shape: readonly number[]): string {
    return this.#constant('double', shape, Float64Array.from(values));
  }

  scalar(value: number): string {
    return this.floats([value], []);
  }

  int32(values: readonly number[], shape: readonly number[]): string {
    return this.#constant('int32', shape, Int32Array.from(values));
  }

  /** int64, as shapes and axes are. */
  int64(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.#constant('int64', shape, BigInt64Array.from(values, BigInt));
  }

  /** The sizes as a tensor of int64: a constant where none depends on the rows. */
  sizes(dims: readonly Dim[]): string {
    const fixed = dims.flatMap((dim) => (typeof dim === 'number' ? [dim] : []));
    if (fixed.length === dims.length) return this.int64(fixed);
    const parts = dims.map((dim) => {
      if (typeof dim === 'number') return this.int64([dim]);
      return dim.perRow === 1 ? this.rows() : this.node('Mul', [this.rows(), this.int64([dim.perRow])]);
    });
    return parts.length === 1 ? parts[0] : this.node('Concat', parts, { axis: { int: 0 } });
  }

  /** x under another shape; an axis that grows with the rows takes what is left. */
  reshape(x: string, dims: readonly Dim[]): string {
    const growing = dims.filter((dim) => typeof dim !== 'number').length;
    if (growing > 1) return this.node('Reshape', [x, this.sizes(dims)]);
    return this.node('Reshape', [x, this.int64(dims.map((dim) => (typeof dim === 'number' ? dim : -1)))]);
  }

  transpose(x: string, permutation: readonly number[]): string {
    return this.node('Transpose', [x], { perm: permutation });
  }

  slice(x: string, axis: number, start: Dim, end: Dim): string {
    return this.node('Slice', [x, this.sizes([start]), this.sizes([end]), this.int64([axis])]);
  }

  /** The length of the batch, [1]: from the first input, whose first axis it is. */
  rows(): string {
    if (this.#rows === undefined) {
      const [first] = this.inputNames;
      if (first === undefined) throw new RangeError('a graph without inputs');
      this.#rows = this.node('Shape', [first], { start: { int: 0 }, end: { int: 1 } });
    }
    return this.#rows;
  }

  #constant(type: TypeName, shape: readonly number[], data: ArrayBufferView & { readonly length: number }): string {
    if (data.length !== sizeOf(shape)) throw new RangeError(`${data.length} values for [${shape.join()}]`);
    const bytes = bytesOf(data);
    const key = data.length <= 64 ? `${type}/${shape.join()}/${Buffer.from(bytes).toString('hex')}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known !== undefined) return known;
    const name = this.unique('constant');
    this.initializers.push(tensorProto(name, type, shape, bytes));
    if (key !== undefined) this.#constants.set(key, name);
    return name;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
