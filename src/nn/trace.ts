/**
 * Tracing: the model function is called once with symbolic tensors, and what its layers do while it runs is written down.
 * The trace is module state only for the duration of that call (restored in `finally`), so models stay plain functions.
 */

import type { FieldInfo } from '../data/contract.ts';
import { LockstepError } from '../errors.ts';
import { showShape, withScope } from '../graph/build.ts';
import { input, parameter as parameterLeaf } from '../graph/ops/leaf.ts';
import { processState } from '../graph/process-state.ts';
import type { Initializer } from '../graph/program.ts';
import { type Shape, sizeOf, type Tensor } from '../graph/tensor.ts';
import type {
  Info,
  Inputs,
  Layer,
  LayerRow,
  Model,
  Outputs,
  ParameterSpec,
  StatisticsSpec,
  TracedModel,
} from './contract.ts';
import { strictRecord } from './named.ts';
import { checkName, show } from './options.ts';

export interface TraceOptions {
  /** Whether the program will train; layers that behave differently ask for it. */
  readonly training: boolean;
}

/** One layer object in one trace. */
interface LayerEntry {
  /** Segments of the path under which its parameters stand: ['tower', 'dense_1']. */
  readonly path: readonly string[];
  /** By name without the path. */
  readonly parameters: Map<string, Tensor>;
}

interface Trace {
  readonly training: boolean;
  /** By identity: the same object again is the same weights. */
  readonly layers: Map<object, LayerEntry>;
  /** Paths taken, and how: two layers may not share one. */
  readonly taken: Map<string, 'given' | 'automatic'>;
  readonly parameters: ParameterSpec[];
  readonly buffers: ParameterSpec[];
  readonly statistics: StatisticsSpec[];
  readonly rows: LayerRow[];
  /** Where in the model we are now. */
  path: readonly string[];
}

/** Calls the model with the fields of `rows` rows. Throws E_MODEL for what is no model, and what its layers and ops throw. */
export function traceModel(
  model: Model,
  fields: readonly FieldInfo[],
  rows: number,
  { training }: TraceOptions,
): TracedModel {
  const tensors = fields.map(({ name, shape, dtype }) => [name, input(name, [rows, ...shape], dtype)] as const);
  const inputs: Inputs = strictRecord(Object.fromEntries(tensors), 'E_MODEL', 'model', 'field');
  // Only an i32 field has a size, and Info says so to those who know the types; here they are not known.
  const info = Object.fromEntries(fields.map((field) => [field.name, field])) as Info;
  const trace: Trace = {
    training,
    layers: new Map(),
    taken: new Map(),
    parameters: [],
    buffers: [],
    statistics: [],
    rows: [],
    path: [],
  };
  const outer = processState.trace;
  processState.trace = trace;
  let result: unknown;
  try {
    result = model(inputs, strictRecord(info, 'E_MODEL', 'model', 'field'));
  } finally {
    processState.trace = outer;
  }
  const { parameters, buffers, statistics, rows: layers } = trace;
  return { inputs, info, outputs: checkOutputs(result), parameters, buffers, statistics, layers };
}

/** Whether `value` is a symbolic tensor. */
export function isTensor(value: unknown): value is Tensor {
  if (typeof value !== 'object' || value === null) return false;
  return Object.hasOwn(value, 'op') && Object.hasOwn(value, 'inputs') && Object.hasOwn(value, 'shape');
}

function checkOutputs(result: unknown): Outputs {
  const outputs = isTensor(result) ? { output: result } : result;
  if (typeof outputs !== 'object' || outputs === null || Array.isArray(outputs) || outputs instanceof Promise) {
    throw outputError('model', Array.isArray(result) ? 'a list' : show(result));
  }
  const entries = Object.entries(outputs);
  if (entries.length === 0) throw outputError('model', 'a record without outputs');
  for (const [name, value] of entries) if (!isTensor(value)) throw outputError(`model output '${name}'`, show(value));
  return strictRecord(Object.fromEntries(entries), 'E_LOSS', 'loss', 'model output');
}

function outputError(where: string, got: string): LockstepError {
  return new LockstepError('E_MODEL', {
    where,
    expected: 'a tensor, or a record of tensors by output name',
    got,
    fix: 'return what a layer gave, or { name: tensor, ... }',
  });
}

/** Throws unless `x` is what a layer can be called with. */
export function requireTensor(where: string, x: unknown): asserts x is Tensor {
  if (isTensor(x)) return;
  throw new LockstepError('E_MODEL', {
    where,
    expected: 'to be called with one tensor',
    got: show(x),
    fix: 'pass a field or the result of a layer, such as dense(10)(inputs.x)',
  });
}

function activeTrace(where: string): Trace {
  // Only traceModel writes it, if perhaps the one of another copy of this file.
  if (processState.trace !== undefined) return processState.trace as Trace;
  throw new LockstepError('E_MODEL', {
    where,
    expected: 'to be called while the model is built',
    got: 'a call outside of a model function',
    fix: 'call layers inside of `model: (inputs) => ...`, or pass them to sequential(...)',
  });
}

/** Whether the model is now traced for training. */
export function isTraining(where: string): boolean {
  return activeTrace(where).training;
}

/**
 * Everything inside gets names under `name`: `scope('user', () => dense(8)(x))` makes `user/dense/weight`. A scope may be entered
 * again; its layers are then counted on.
 */
export function scope<T>(name: string, fn: () => T): T {
  const trace = activeTrace(`scope ${name}`);
  checkName('scope', name);
  return within(trace, [...trace.path, name], fn);
}

function within<T>(trace: Trace, path: readonly string[], fn: () => T): T {
  const outer = trace.path;
  trace.path = path;
  try {
    return withScope(path[path.length - 1], fn);
  } finally {
    trace.path = outer;
  }
}

/**
 * Runs the body of `layer` under its path: `name` if it has one, else its kind and order (`dense`, `dense_1`). The second call
 * of one object keeps the path of the first. Throws E_MODEL outside of a trace and for a name that is taken.
 */
export function enterLayer<T>(layer: Layer, name: string | undefined, fn: () => T): T {
  const trace = activeTrace(name ?? layer.kind);
  let entry = trace.layers.get(layer);
  if (entry === undefined) {
    entry = { path: choosePath(trace, layer.kind, name), parameters: new Map() };
    trace.layers.set(layer, entry);
  }
  return within(trace, entry.path, fn);
}

/** Like `enterLayer`, for a layer whose result is a row of the summary. */
export function callLayer(layer: Layer, name: string | undefined, fn: () => Tensor): Tensor {
  const trace = activeTrace(name ?? layer.kind);
  const again = trace.layers.has(layer);
  const result = enterLayer(layer, name, fn);
  const entry = trace.layers.get(layer);
  if (entry !== undefined && !again) {
    const shapes = [...entry.parameters.values()].map(({ shape }) => sizeOf(shape));
    const parameters = shapes.reduce((sum, size) => sum + size, 0);
    const name = entry.path.join('/');
    const own = trace.buffers.filter((spec) => spec.name.startsWith(`${name}/`));
    const buffers = own.reduce((sum, spec) => sum + sizeOf(spec.shape), 0);
    const row = { name, kind: layer.kind, outputShape: result.shape, parameters };
    trace.rows.push(buffers > 0 ? { ...row, buffers } : row);
  }
  return result;
}

function choosePath(trace: Trace, kind: string, name: string | undefined): readonly string[] {
  const pathOf = (segment: string): string => [...trace.path, segment].join('/');
  let segment = name ?? kind;
  if (name === undefined) for (let n = 1; trace.taken.has(pathOf(segment)); n++) segment = `${kind}_${n}`;
  const earlier = trace.taken.get(pathOf(segment));
  if (earlier !== undefined) {
    throw new LockstepError('E_MODEL', {
      where: `layer ${pathOf(segment)}`,
      expected: 'a name of its own',
      got: earlier === 'given' ? 'two layers of that name' : 'a name that an earlier layer without one has got',
      fix: 'name the layers differently; to share weights call one layer object twice',
    });
  }
  trace.taken.set(pathOf(segment), name === undefined ? 'automatic' : 'given');
  return [...trace.path, segment];
}

/**
 * The parameter `name` of `layer`, made by its first call and shared by the others. Throws E_SHAPE when a later call needs
 * another shape.
 */
export function parameter(
  layer: Layer,
  name: string,
  shape: Shape,
  init: Initializer,
  sparseGradient?: ParameterSpec['sparseGradient'],
): Tensor {
  const trace = activeTrace(layer.kind);
  const entry = trace.layers.get(layer);
  if (entry === undefined) throw new TypeError(`parameter ${name} of a layer that was not entered`);
  const path = [...entry.path, name].join('/');
  const known = entry.parameters.get(name);
  if (known === undefined) {
    const tensor = parameterLeaf(path, shape);
    entry.parameters.set(name, tensor);
    trace.parameters.push({
      name: path,
      shape: [...shape],
      init,
      ...(sparseGradient !== undefined && { sparseGradient }),
    });
    return tensor;
  }
  if (showShape(known.shape) === showShape(shape)) return known;
  throw new LockstepError('E_SHAPE', {
    where: `layer ${entry.path.join('/')}`,
    expected: `inputs that need ${name} ${showShape(known.shape)}, as in its first call`,
    got: `an input that needs ${showShape(shape)}`,
    fix: 'share a layer between inputs of equal width only, or make two layers',
  });
}

/** Running mean (0 at first) and variance (1) by channel of a layer; in training they follow the moments that are given to `follow`. */
export interface RunningStatistics {
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** `momentum`: weight of the newest batch. Of several calls of one layer the moments are taken together. */
  follow(moments: Tensor, momentum: number): void;
}

/** The running statistics of `layer`, made by its first call and shared by the others. */
export function runningStatistics(layer: Layer, channels: number): RunningStatistics {
  const trace = activeTrace(layer.kind);
  const entry = trace.layers.get(layer);
  if (entry === undefined) throw new TypeError('running statistics of a layer that was not entered');
  const buffer = (name: string, value: number): Tensor => {
    const path = [...entry.path, name].join('/');
    if (!trace.buffers.some((spec) => spec.name === path)) {
      trace.buffers.push({ name: path, shape: [channels], init: { kind: 'constant', value } });
    }
    return parameterLeaf(path, [channels]);
  };
  const mean = buffer('runningMean', 0);
  const variance = buffer('runningVariance', 1);
  return {
    mean,
    variance,
    follow(moments, momentum) {
      const names = { mean: String(mean.attrs.name), variance: String(variance.attrs.name) };
      trace.statistics.push({ ...names, momentum, moments });
    },
  };
}
