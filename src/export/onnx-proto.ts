/** The messages of ONNX that a model needs (onnx.proto of onnx 1.16; field numbers as there). */
import { Message } from './protobuf.ts';

/** TensorProto.DataType. */
export const TYPE = { float: 1, int32: 6, int64: 7, string: 8, bool: 9, double: 11 } as const;
export type TypeName = keyof typeof TYPE;

/** A size along an axis: fixed, or so many for each row of the batch. */
export type Dim = number | { readonly perRow: number };

/** Numbers are written as integers where they are `int(n)`, lists of numbers always as integers. */
export type Attribute = number | string | readonly number[] | readonly string[] | { readonly int: number };
export const int = (value: number): { readonly int: number } => ({ int: value });

/** AttributeProto.AttributeType. */
const FLOAT = 1;
const INT = 2;
const STRING = 3;
const FLOATS = 6;
const INTS = 7;
const STRINGS = 8;

/** AttributeProto: name = 1, f = 2, i = 3, s = 4, floats = 7, ints = 8, strings = 9, type = 20. Integers must not be negative. */
function attribute(name: string, value: Attribute): Message {
  const message = new Message().text(1, name);
  if (typeof value === 'number') return message.float(2, value).varint(20, FLOAT);
  if (typeof value === 'string') return message.text(4, value).varint(20, STRING);
  if ('int' in value) return message.varint(3, value.int).varint(20, INT);
  if (isTexts(value)) {
    for (const text of value) message.text(9, text);
    return message.varint(20, STRINGS);
  }
  const floats = name.endsWith('_floats');
  for (const n of value) {
    if (floats) message.float(7, n);
    else message.varint(8, n);
  }
  return message.varint(20, floats ? FLOATS : INTS);
}

const isTexts = (value: readonly number[] | readonly string[]): value is readonly string[] =>
  typeof value[0] === 'string';

/** NodeProto: input = 1, output = 2, name = 3, op_type = 4, attribute = 5, domain = 7. */
export function nodeProto(
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>>,
  domain: string,
): Message {
  const message = new Message();
  for (const name of inputs) message.text(1, name);
  for (const name of outputs) message.text(2, name);
  message.text(3, outputs.find((name) => name !== '') ?? op).text(4, op);
  for (const [name, value] of Object.entries(attributes)) message.message(5, attribute(name, value));
  return domain === '' ? message : message.text(7, domain);
}

/** TensorProto: dims = 1, data_type = 2, name = 8, raw_data = 9 (little endian). */
export function tensorProto(name: string, type: TypeName, shape: readonly number[], bytes: Uint8Array): Message {
  const message = new Message();
  for (const size of shape) message.varint(1, size);
  return message.varint(2, TYPE[type]).text(8, name).bytes(9, bytes);
}

/** The axis that grows with the batch. */
const ROWS = 'rows';

/** ValueInfoProto: name = 1, type = 2 (TypeProto: tensor_type = 1 (elem_type = 1, shape = 2 (dim = 1 (dim_value = 1, dim_param = 2)))). */
export function valueProto(name: string, type: TypeName, shape: readonly Dim[]): Message {
  const dims = new Message();
  for (const size of shape) {
    const dim = new Message();
    if (typeof size === 'number') dim.varint(1, size);
    else dim.text(2, size.perRow === 1 ? ROWS : `${size.perRow}*${ROWS}`);
    dims.message(1, dim);
  }
  const tensor = new Message().varint(1, TYPE[type]).message(2, dims);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}

/** GraphProto: node = 1, name = 2, initializer = 5, input = 11, output = 12. */
export interface GraphParts {
  readonly nodes: readonly Message[];
  readonly initializers: readonly Message[];
  readonly inputs: readonly Message[];
  readonly outputs: readonly Message[];
}

/** opset 17 (LayerNormalization), which needs IR version 8. */
const IR_VERSION = 8;
const OPSETS = [
  ['', 17],
  ['ai.onnx.ml', 2],
] as const;

/** ModelProto: ir_version = 1, producer_name = 2, producer_version = 3, graph = 7, opset_import = 8, metadata_props = 14. */
export function modelProto(parts: GraphParts, version: string, metadata: Readonly<Record<string, string>>): Uint8Array {
  const graph = new Message();
  for (const node of parts.nodes) graph.message(1, node);
  graph.text(2, 'lockstep');
  for (const tensor of parts.initializers) graph.message(5, tensor);
  for (const value of parts.inputs) graph.message(11, value);
  for (const value of parts.outputs) graph.message(12, value);
  const model = new Message().varint(1, IR_VERSION).text(2, 'lockstep').text(3, version).message(7, graph);
  for (const [domain, opset] of OPSETS) model.message(8, new Message().text(1, domain).varint(2, opset));
  for (const [key, value] of Object.entries(metadata)) model.message(14, new Message().text(1, key).text(2, value));
  return model.encode();
}
