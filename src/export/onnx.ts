/**
 * A trained model as an ONNX file (opset 17): raw columns in, answers out, any number of rows. The graph is that of prediction, so
 * what the job computes for training only is not in it.
 */

import { type Manifest, tensorTable } from '../checkpoint/manifest.ts';
import type { StoredModel } from '../checkpoint/model-file.ts';
import { unpackPrediction } from '../checkpoint/prediction-graph.ts';
import { Encoder } from '../data/transforms.ts';
import { stringAttr } from '../graph/build.ts';
import type { Tensor } from '../graph/tensor.ts';
import { meaningOf, type OutputMeaning } from '../predict/answer.ts';
import { cannotExport, OnnxGraph } from './onnx-graph.ts';
import { OnnxInputs } from './onnx-inputs.ts';
import { LAYER_OPS } from './onnx-layers.ts';
import { dimsOf, type Lower, type Site } from './onnx-op.ts';
import { GROWING, PLAIN_OPS } from './onnx-ops.ts';
import { writeAnswers } from './onnx-outputs.ts';
import { modelProto } from './onnx-proto.ts';
import { RECURRENT_OPS } from './onnx-recurrent.ts';

const LOWER: Readonly<Record<string, Lower>> = { ...PLAIN_OPS, ...LAYER_OPS, ...RECURRENT_OPS };

/** Lengths of the batch at which the graph is compared with itself; among those that a checkpoint has. */
const SMALL = 8;
const LARGE = 64;
/** What a protobuf message may be long at most. */
const MOST_BYTES = 2 ** 31 - 1;

export interface OnnxModel {
  readonly bytes: Uint8Array;
  /** Names, in order. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** @throws E_EXPORT for an op that cannot be written, with its name, and for a model whose rows are not computed one by one. */
export function encodeOnnx({ manifest, parameters }: StoredModel): OnnxModel {
  const parameterBytes = 4 * parameters.length;
  if (parameterBytes > MOST_BYTES) {
    throw cannotExport('model', 'at most 2 GiB', `${parameterBytes} bytes of parameters`, 'use safetensors');
  }
  const [small, large] = [SMALL, LARGE].map((rows) => unpackPrediction(manifest.model, rows));
  if (small.nodes.length !== large.nodes.length || small.nodes.some(({ op }, i) => op !== large.nodes[i].op)) {
    throw cannotExport('model', 'one graph for any number of rows', 'others', 'do not branch on the number of rows');
  }
  const g = new OnnxGraph();
  const writer = new Writer(g, manifest, parameters, large.nodes);
  writer.writeInputs(small.nodes); // first: they keep the names of their columns
  const meanings = meaningsOf(manifest, small.outputs);
  const written = Object.entries(small.outputs).map(([name, tensor]) => ({
    meaning: meanings.find((m) => m.name === name) as OutputMeaning,
    tensor: writer.write(tensor),
    dtype: tensor.dtype,
    shape: writer.site(tensor).shape,
  }));
  const metadata = writeAnswers(g, written);
  return { bytes: modelProto(g, manifest.lockstep, metadata), inputs: g.inputNames, outputs: g.outputNames };
}

function meaningsOf(manifest: Manifest, outputs: Readonly<Record<string, Tensor>>): OutputMeaning[] {
  const transforms = new Encoder(manifest.transforms);
  return meaningOf({
    loss: manifest.loss,
    fields: manifest.fields,
    parts: (field) => transforms.parts(field),
    outputs: Object.entries(outputs).map(([name, { shape }]) => ({ name, shape })),
  });
}

/** Writes the nodes that the outputs need, each once. */
class Writer {
  readonly #g: OnnxGraph;
  readonly #inputs: OnnxInputs;
  readonly #twins: readonly Tensor[];
  readonly #names = new Map<Tensor, string>();
  readonly #parameters: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

  constructor(g: OnnxGraph, manifest: Manifest, parameters: Float32Array, twins: readonly Tensor[]) {
    this.#g = g;
    this.#inputs = new OnnxInputs(g, manifest.transforms);
    this.#twins = twins;
    const { entries } = tensorTable(manifest);
    this.#parameters = new Map(
      entries.map(({ name, shape, offset, size }) => [
        name,
        { shape, data: parameters.subarray(offset, offset + size) },
      ]),
    );
  }

  writeInputs(nodes: readonly Tensor[]): void {
    for (const node of nodes) if (node.op === 'input') this.write(node);
  }

  write(tensor: Tensor): string {
    const known = this.#names.get(tensor);
    if (known !== undefined) return known;
    const name = this.#lower(tensor);
    this.#names.set(tensor, name);
    return name;
  }

  site(node: Tensor): Site {
    const rows = [SMALL, LARGE] as const;
    const twin = this.#twins[node.id];
    return {
      node,
      twin,
      rows,
      shape: dimsOf({ node, rows }, node.shape, twin.shape),
      input: (i) => this.write(node.inputs[i]),
      from: (i) => this.site(node.inputs[i]),
    };
  }

  #lower(tensor: Tensor): string {
    const { op, attrs } = tensor;
    if (op === 'input') return this.#inputs.field(stringAttr(attrs, 'name'), tensor);
    if (op === 'parameter') {
      const name = stringAttr(attrs, 'name');
      const found = this.#parameters.get(name);
      if (found === undefined) throw cannotExport('model', `the parameter ${name}`, 'none', 'use another checkpoint');
      return this.#g.parameter(name, found.shape, found.data);
    }
    const lower = Object.hasOwn(LOWER, op) ? LOWER[op] : undefined;
    if (lower === undefined) {
      throw cannotExport(
        `op ${op}`,
        'an op that ONNX export knows',
        op,
        'predict with Lockstep, or replace it in the model',
      );
    }
    const site = this.site(tensor);
    refuseOtherAttributes(site);
    return lower(site, this.#g);
  }
}

/** Numbers that follow the rows are taken care of where sizes are; elsewhere they mean that rows are mixed (a mean over the batch). */
function refuseOtherAttributes({ node, twin, rows }: Site): void {
  const growing = Object.hasOwn(GROWING, node.op) ? GROWING[node.op] : [];
  for (const [name, value] of Object.entries(node.attrs)) {
    if (growing.includes(name) || JSON.stringify(value) === JSON.stringify(twin.attrs[name])) continue;
    throw cannotExport(
      `op ${node.op}: ${name}`,
      'the same for any number of rows',
      `${JSON.stringify(value)} at ${rows[0]} rows, ${JSON.stringify(twin.attrs[name])} at ${rows[1]}`,
      'write the model so that each row is computed by itself',
    );
  }
}
