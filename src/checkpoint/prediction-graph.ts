import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { topologicalOrder } from '../graph/autodiff.ts';
import { numbersAttr } from '../graph/build.ts';
import { canonicalise } from '../graph/canonical.ts';
import { compileProgram, type FieldSpec } from '../graph/compile.ts';
import { convolutionCalls } from '../graph/ops/convolution.ts';
import { opOf } from '../graph/ops/table.ts';
import type { Operand, Program, Region, TensorEntry } from '../graph/program.ts';
import { sizeOf, type Tensor } from '../graph/tensor.ts';
import { damaged, quote } from './damage.ts';
import { toExactJson } from './exact-json.ts';

/**
 * The model as plain data, for prediction without the job's module: the traced evaluation graph at a few row counts. Graphs, not
 * programs: they are smaller, outlive changes of kernels, and what is read from a file is checked by the ops' own shape rules and
 * compiled by our compiler, so that a hostile file cannot name addresses. Runs in browsers.
 */
const dimension = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31);
/** Op, indices of earlier nodes, attributes. */
const node = z.tuple([z.string(), z.array(z.number().int().nonnegative()), z.record(z.string(), z.unknown())]);
const variant = z.strictObject({
  rows: dimension,
  /** 0 = as node of the same index in the first variant. */
  nodes: z.array(z.union([node, z.literal(0)])).max(50_000),
  outputs: z.array(z.tuple([z.string(), z.number().int().nonnegative()])).min(1),
});
export const PREDICTION_GRAPH = z.array(variant).min(1).max(64);

export type PredictionGraph = z.output<typeof PREDICTION_GRAPH>;
type GraphNode = z.output<typeof node>;

/** Row counts that suit a Predictor: single rows, small and full batches. */
export const PREDICTION_ROWS = [1, 8, 64, 256] as const;

/** A model traced for evaluation at one row count: what `traceModel(model, fields, rows, { training: false })` gives. */
export interface TracedOutputs {
  readonly rows: number;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Merged and numbered, dropouts gone, nodes that no output needs left out: the same model gives the same data. */
export function packGraph(traces: readonly TracedOutputs[]): PredictionGraph {
  const packed = traces.map(({ rows, outputs }) => {
    const roots = Object.values(outputs);
    const renamed = canonicalise(roots, { training: false });
    const final = (root: Tensor): Tensor => renamed.get(root) ?? root;
    const order = topologicalOrder(roots.map(final));
    const index = new Map(order.map((tensor, i) => [tensor, i]));
    const at = (tensor: Tensor): number => index.get(tensor) ?? -1;
    const nodes = order.map((tensor): GraphNode => [tensor.op, tensor.inputs.map(at), { ...tensor.attrs }]);
    return { rows, nodes, outputs: Object.entries(outputs).map(([name, t]): [string, number] => [name, at(final(t))]) };
  });
  const first = packed[0].nodes.map((n) => toExactJson(n));
  return packed.map(({ rows, nodes, outputs }, i) => ({
    rows,
    nodes: i === 0 ? nodes : nodes.map((n, k) => (toExactJson(n) === first[k] ? 0 : n)),
    outputs,
  }));
}

/** Row counts that the graph was traced for, ascending. */
export function predictionRows(graph: PredictionGraph): number[] {
  return graph.map(({ rows }) => rows).sort((a, b) => a - b);
}

export interface PredictionModel {
  readonly fields: readonly FieldSpec[];
  readonly tensors: readonly TensorEntry[];
  readonly model: PredictionGraph;
}

/**
 * The program that evaluates the outputs for `rows` rows (one of `predictionRows`).
 *
 * @param activationLimit bytes of activations and constants that it may need. Default 1 GiB.
 * @throws E_CHECKPOINT if the graph is damaged or needs more than that.
 */
export function compilePrediction(
  { fields, tensors, model }: PredictionModel,
  rows: number,
  activationLimit = 2 ** 30,
): Program {
  const where = `model graph of ${rows} rows`;
  try {
    const { outputs } = unpackPrediction(model, rows);
    const program = compileProgram({ rows, fields, tensors, outputs, gradients: false });
    const bytes = program.activationBytes + program.constants.length + program.batchBytes;
    if (bytes > activationLimit) throw damaged(where, `at most ${activationLimit} bytes of activations`, `${bytes}`);
    checkProducts(program, tensors, where);
    return program;
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'E_CHECKPOINT') throw error;
    throw damaged(where, 'a graph that compiles', error instanceof Error ? error.message : String(error), error);
  }
}

/**
 * Matrix products run in native code, which no sandbox holds: every operand must lie in its region, whatever attributes it was
 * computed from.
 */
function checkProducts(program: Program, tensors: readonly TensorEntry[], where: string): void {
  const bytes: Readonly<Partial<Record<Region, number>>> = {
    parameters: tensors.reduce((end, t) => Math.max(end, 4 * (t.offset + t.size)), 0),
    activations: program.activationBytes,
    batch: program.batchBytes,
    constants: program.constants.length,
  };
  for (const { kernel, args } of program.calls) {
    if (kernel !== 'gemm') continue;
    const [transA, transB, m, n, k, a, lda, b, ldb, , c, ldc] = args;
    const operands: [Operand, Operand, Operand, Operand][] = [
      [a, lda, ...(transA === 0 ? ([m, k] as const) : ([k, m] as const))],
      [b, ldb, ...(transB === 0 ? ([k, n] as const) : ([n, k] as const))],
      [c, ldc, m, n],
    ];
    for (const [at, stride, rows, columns] of operands) {
      const sizes = [stride, rows, columns].map((size) => (typeof size === 'number' && size >= 1 ? size : Number.NaN));
      const end = typeof at === 'number' ? Number.NaN : at.offset + 4 * ((sizes[1] - 1) * sizes[0] + sizes[2]);
      const fits = typeof at !== 'number' && at.offset >= 0 && sizes[2] <= sizes[0] && end <= (bytes[at.region] ?? 0);
      if (!fits) throw damaged(where, 'matrix products of tensors that are there', `one that ends at byte ${end}`);
    }
  }
}

/** The graph at `rows` rows (one of `predictionRows`); a node's id is its place. @throws for a damaged graph */
export function unpackPrediction(
  model: PredictionGraph,
  rows: number,
): { readonly nodes: readonly Tensor[]; readonly outputs: Readonly<Record<string, Tensor>> } {
  const found = model.find((v) => v.rows === rows);
  if (!found) throw damaged('model graph', `rows of ${predictionRows(model).join(', ')}`, `${rows}`);
  const where = `model graph of ${rows} rows`;
  const nodes = unpack(model[0].nodes, found.nodes, where);
  const outputs: Record<string, Tensor> = Object.create(null);
  for (const [name, index] of found.outputs) {
    if (index >= nodes.length || name in outputs) throw damaged(where, 'outputs with names of their own', quote(name));
    outputs[name] = nodes[index];
  }
  return { nodes, outputs };
}

type StoredNodes = PredictionGraph[number]['nodes'];

function unpack(first: StoredNodes, own: StoredNodes, where: string): Tensor[] {
  const tensors: Tensor[] = [];
  let expansion = 0;
  for (const [id, stored] of own.entries()) {
    const entry = stored === 0 ? first[id] : stored;
    const place = `${where}, node ${id}`;
    if (entry === undefined || entry === 0) throw damaged(place, 'a node', 'nothing');
    const [op, indices, attrs] = entry;
    if (indices.some((i) => i >= id)) throw damaged(place, 'inputs among earlier nodes', indices.join());
    const inputs = indices.map((i) => tensors[i]);
    checkNode(op, inputs, attrs, place);
    const { shape, dtype } = opOf(op).infer(inputs, attrs);
    checkShape(shape, place);
    const tensor = { id, op, inputs, attrs, shape, dtype };
    expansion += expansionOf(tensor);
    if (expansion > MAX_EXPANSION) throw damaged(place, `at most ${MAX_EXPANSION} calls and constants`, 'more');
    tensors.push(tensor);
  }
  return tensors;
}

/** Elements that a single tensor may have; its bytes then fit the address space. */
const MAX_ELEMENTS = 2 ** 29;
/** Kernel calls and literals that a graph may become when compiled, where few bytes stand for many. */
const MAX_EXPANSION = 2 ** 22;

function expansionOf(tensor: Tensor): number {
  const { op, shape, attrs } = tensor;
  if (op === 'conv2d' || op === 'conv2dGradInput') return convolutionCalls(tensor);
  if (op === 'recurrentTape') return 2 * numbersAttr(attrs, 'sizes')[0];
  if (op === 'batchMatmul') return sizeOf(shape.slice(0, -2));
  return op === 'constant' && typeof attrs.value === 'number' ? sizeOf(shape) : 1;
}

function checkShape(shape: readonly number[], where: string): void {
  const valid = shape.every((d) => Number.isInteger(d) && d >= 1) && sizeOf(shape) <= MAX_ELEMENTS;
  if (!valid) throw damaged(where, `dimensions from 1 and at most ${MAX_ELEMENTS} elements`, `[${shape.join()}]`);
}

/**
 * Rules that the functions in graph/ops check when a user calls them, and that the ops' shape rules then take for granted.
 * Random and gradient ops do not occur in evaluation.
 */
function checkNode(op: string, inputs: readonly Tensor[], attrs: Readonly<Record<string, unknown>>, where: string) {
  if (op === 'dropout' || op === 'scatterAdd' || op === 'conv2dGradWeight' || op.endsWith('Grad')) {
    throw damaged(where, 'an op that occurs in evaluation', op);
  }
  const shape = inputs[0]?.shape ?? [];
  const require = (valid: boolean, expected: string): void => {
    if (!valid) throw damaged(where, `${op} with ${expected}`, quote(JSON.stringify(attrs)));
  };
  const integers = (name: string): number[] => {
    const values = attrs[name];
    return Array.isArray(values) && values.every((v) => Number.isInteger(v) && v >= 0) ? values : [Number.NaN];
  };
  const axes = (from: unknown, to: unknown, end: number): boolean =>
    typeof from === 'number' && typeof to === 'number' && isRange(from, to, end);
  switch (op) {
    case 'input':
    case 'parameter':
      checkShape(integers('shape'), where);
      return;
    case 'constant':
    case 'full': {
      checkShape(integers('shape'), where);
      const { value, values } = attrs;
      const listed = op === 'constant' && Array.isArray(values) && values.length === sizeOf(integers('shape'));
      require(typeof value === 'number' || listed, 'as many values as its shape has');
      return;
    }
    case 'reshape':
      require(sizeOf(integers('shape')) === sizeOf(shape), `a shape of ${sizeOf(shape)} elements`);
      return;
    case 'transpose': {
      const permutation = integers('permutation');
      const all = permutation.length === shape.length && shape.every((_, d) => permutation.includes(d));
      require(all, `a permutation of ${shape.length} axes`);
      return;
    }
    case 'slice': {
      const axis = typeof attrs.axis === 'number' ? attrs.axis : -1;
      require(axes(attrs.start, attrs.end, shape[axis] ?? 0), `a part of [${shape.join()}]`);
      return;
    }
    case 'pad': {
      const both = [integers('before'), integers('after')];
      require(both.every((widths) => widths.length === shape.length), `widths for ${shape.length} axes`);
      return;
    }
    case 'concat':
      require(typeof attrs.axis === 'number' && attrs.axis in shape, `an axis of [${shape.join()}]`);
      return;
    default:
      if (op.startsWith('reduce')) require(axes(attrs.from, attrs.to, shape.length), `axes of [${shape.join()}]`);
  }
}

/** 0 <= from < to <= end, whole numbers. */
function isRange(from: number, to: number, end: number): boolean {
  return Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= end;
}
