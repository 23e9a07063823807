import { closest, LockstepError } from '../errors.ts';
import { ROW_LIST_STRIDE } from '../kernels/table.ts';
import { topologicalOrder } from './autodiff.ts';
import { dtypeError, numbersAttr, shapeError, showShape, stringAttr } from './build.ts';
import { canonicalText } from './canonical.ts';
import { ConstantPool } from './constants.ts';
import { emitCalls } from './emit.ts';
import { opOf } from './ops/table.ts';
import { align } from './plan.ts';
import type { Call, Field, Program, Ref, RowList, TensorEntry } from './program.ts';
import type { Roots } from './roots.ts';
import { findRoots } from './roots.ts';
import { listsOf } from './row-lists.ts';
import { findEnds } from './row-local.ts';
import type { Item } from './schedule.ts';
import { storageOf } from './storage.ts';
import type { DType, Shape, Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** A field that the batch can offer; `shape` is that of one row. */
export interface FieldSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

/** sum(value * weight); weight (default 1) broadcasts to value and is a constant for gradients. */
export interface WeightedTensor {
  readonly value: Tensor;
  readonly weight?: Tensor;
}

export interface CompileOptions {
  /** Rows of the shard: axis 0 of every input. */
  readonly rows: number;
  readonly fields: readonly FieldSpec[];
  /** The tensor table: parameters are found in it by name. */
  readonly tensors: readonly TensorEntry[];
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** Gives the sums 'loss' and 'weight' (the sum of the weights; without weight the number of elements). */
  readonly loss?: WeightedTensor;
  /** Sums by channel that running statistics follow (see `batchNormWithMoments`), copied out one after the other. */
  readonly moments?: readonly Tensor[];
  /** Further sums, after those of the loss. */
  readonly sums?: readonly ({ readonly name: string } & WeightedTensor)[];
  /**
   * Write the gradient of the sum 'loss' into the gradients region: every element of every parameter on every run; of sparse tables
   * into lists of rows.
   */
  readonly gradients: boolean;
  /** Whether dropout acts. Default: as `gradients`. */
  readonly training?: boolean;
}

/**
 * Compiles a traced model to plain data: merges equal expressions, differentiates, drops what nothing needs, plans memory and
 * emits kernel calls. The same model gives the same data whatever was built before it in the process.
 * Throws E_MODEL (unknown parameter), E_DATA_MISSING (unknown field), E_LOSS, E_SHAPE, E_DTYPE.
 */
export function compileProgram(options: CompileOptions): Program {
  const roots = findRoots(options);
  const ofForward = [
    ...roots.outputs.map((o) => o.value),
    ...roots.sums.flatMap((s) => (s.weight === undefined ? [s.value] : [s.value, s.weight])),
    ...roots.moments,
  ];
  const order = topologicalOrder([
    ...ofForward,
    ...roots.gradients.filter((g) => g !== undefined),
    ...roots.lookups.flat().flatMap(({ ids, gradient }) => [ids, gradient]),
  ]);
  const constants = new ConstantPool();
  const home = new Map<Tensor, Ref>();
  const { fields, batchBytes } = placeInputs(order, options, home);
  placeParameters(order, options.tensors, home);
  for (const node of order) if (node.op === 'constant') home.set(node, constants.tensor(node));
  const gradients = placeGradients(roots, options.tensors, home);
  const rowLists = placeRowLists(roots, options.tensors);
  const moments = placeMoments(roots);
  const items = schedule(order, roots, [...gradients, ...rowLists.items, ...moments.items]);
  const ends = options.gradients ? findEnds(order, roots, options.rows) : undefined;
  const endBytes = placeEnds(ends, home);
  const kept = roots.outputs.map((o) => o.value);
  const { calls, activationBytes, refOf } = emitCalls(
    items,
    options.rows,
    home,
    constants,
    kept,
    new Set(topologicalOrder(ofForward)),
  );
  return {
    rows: options.rows,
    calls: [...calls, ...(options.gradients ? zeroFills(roots, options.tensors) : [])],
    fields,
    outputs: roots.outputs.map(({ name, value }) => ({
      name,
      shape: value.shape,
      dtype: value.dtype,
      ref: refOf(value),
    })),
    sums: roots.sums.map((s) => s.name),
    batchBytes,
    momentBytes: moments.bytes,
    activationBytes,
    endBytes,
    constants: constants.bytes(),
    rowLists: rowLists.lists,
    rowLocal: ends !== undefined,
    flops: order.reduce((total, node) => total + (opOf(node.op).flops?.(node) ?? 0), 0),
  };
}

/** Identity of a program: `sha256` (of node:crypto, or a browser's) over its canonical text, constants included. */
export function programHash(program: Program, sha256: (text: string) => string): string {
  return sha256(canonicalText({ ...program, constants: Array.from(program.constants) }));
}

/** Checks the inputs that are read and lays them out in the batch, in the order of the fields. */
function placeInputs(
  order: readonly Tensor[],
  { rows, fields: specs }: CompileOptions,
  home: Map<Tensor, Ref>,
): { fields: Field[]; batchBytes: number } {
  const inputs = order.filter((node) => node.op === 'input');
  const names = specs.map((spec) => spec.name);
  for (const node of inputs) {
    const name = stringAttr(node.attrs, 'name');
    const spec = specs.find((s) => s.name === name);
    if (spec === undefined) {
      const guess = closest(name, names);
      throw new LockstepError('E_DATA_MISSING', {
        where: `input ${name}`,
        expected: `one of the fields ${names.join(', ')}`,
        got: name,
        fix: guess === undefined ? 'read a field that the data has' : `did you mean ${guess}?`,
      });
    }
    const shape = [rows, ...spec.shape];
    if (showShape(shape) !== showShape(node.shape)) {
      throw shapeError(`input ${name}`, showShape(shape), showShape(node.shape), 'build the model for these rows');
    }
    if (spec.dtype !== node.dtype) {
      throw dtypeError(`input ${name}`, spec.dtype, node.dtype, 'read the field with its own type');
    }
  }
  const fields: Field[] = [];
  let offset = 0;
  for (const { name, dtype, shape } of specs) {
    const node = inputs.find((x) => x.attrs.name === name);
    if (node === undefined) continue;
    fields.push({ name, dtype, shape: [rows, ...shape], offset });
    home.set(node, { region: 'batch', offset });
    offset += align(4 * sizeOf(node.shape));
  }
  return { fields, batchBytes: offset };
}

function placeParameters(order: readonly Tensor[], tensors: readonly TensorEntry[], home: Map<Tensor, Ref>): void {
  const entries = new Map(tensors.map((entry) => [entry.name, entry]));
  for (const node of order) {
    if (node.op !== 'parameter') continue;
    const name = stringAttr(node.attrs, 'name');
    const entry = entries.get(name);
    if (entry === undefined) {
      throw new LockstepError('E_MODEL', {
        where: `parameter ${name}`,
        expected: 'a parameter of the tensor table',
        got: name,
        fix: 'create parameters inside the model function, through its layers',
      });
    }
    const shape = numbersAttr(node.attrs, 'shape');
    if (showShape(shape) !== showShape(entry.shape)) {
      throw shapeError(`parameter ${name}`, showShape(entry.shape), showShape(shape), 'use one shape for one name');
    }
    home.set(node, { region: 'parameters', offset: 4 * entry.offset });
  }
}

function gradientRef(entry: TensorEntry): Ref {
  return { region: 'gradients', offset: 4 * entry.offset };
}

/** The last op of a gradient writes it where it belongs; only leaves and gradients of two parameters at once are copied. */
function placeGradients(roots: Roots, tensors: readonly TensorEntry[], home: Map<Tensor, Ref>): Item[] {
  return tensors.flatMap((entry, i): Item[] => {
    const source = roots.gradients[i];
    if (source === undefined) return [];
    const storage = storageOf(source);
    if (home.has(storage)) return [{ kind: 'copy', source, to: gradientRef(entry) }];
    home.set(storage, gradientRef(entry));
    return [];
  });
}

/** Ends that are no gradients yet have memory of their own, so that each shard of a group can have its own. */
function placeEnds(ends: ReadonlySet<Tensor> | undefined, home: Map<Tensor, Ref>): number {
  let offset = 0;
  for (const end of ends ?? []) {
    if (home.has(end) || opOf(end.op).alias) continue;
    home.set(end, { region: 'ends', offset });
    offset += align(4 * sizeOf(end.shape));
  }
  return offset;
}

/** A header for every lookup in a sparse table, those of a table one after the other. */
function placeRowLists(roots: Roots, tensors: readonly TensorEntry[]): { lists: RowList[]; items: Item[] } {
  const lists: RowList[] = [];
  const items: Item[] = [];
  let next = 0;
  roots.lookups.forEach((lookups, tensor) => {
    const { name, shape } = tensors[tensor];
    lookups.forEach(({ ids, gradient }, i) => {
      const list = next + i;
      lists.push({ name, tensor, list, ids: sizeOf(ids.shape), width: sizeOf(shape.slice(1)) });
      const to: Ref = { region: 'rowLists', offset: ROW_LIST_STRIDE * list };
      items.push({ kind: 'rows', ids, gradient, tableRows: shape[0], to });
    });
    if (lookups.length > 0) next += listsOf(lookups.length);
  });
  return { lists, items };
}

function placeMoments(roots: Roots): { items: Item[]; bytes: number } {
  let bytes = 0;
  const items = roots.moments.map((source): Item => {
    const to: Ref = { region: 'moments', offset: bytes };
    bytes += 4 * sizeOf(source.shape);
    return { kind: 'copy', source, to };
  });
  return { items, bytes };
}

function zeroFills(roots: Roots, tensors: readonly TensorEntry[]): Call[] {
  return tensors.flatMap((entry, i): Call[] =>
    roots.gradients[i] === undefined && !entry.sparse && !entry.buffer
      ? [{ kernel: 'fill', args: [gradientRef(entry), 0, entry.size] }]
      : [],
  );
}

/** Ops in order of creation, and what reads their results beside the graph as soon as these are there. */
function schedule(order: readonly Tensor[], roots: Roots, ends: readonly Item[]): Item[] {
  const after = new Map<number, Item[]>();
  const add = (item: Item, ...sources: readonly Tensor[]): void => {
    const id = Math.max(...sources.map((x) => x.id));
    after.set(id, [...(after.get(id) ?? []), item]);
  };
  for (const [i, { value, weight }] of roots.sums.entries()) {
    add({ kind: 'sum', value, weight, to: { region: 'sums', offset: 8 * i } }, value, weight ?? value);
  }
  for (const item of ends) {
    if (item.kind === 'copy') add(item, item.source);
    else if (item.kind === 'rows') add(item, item.ids, item.gradient);
  }
  return order.flatMap((node) => [{ kind: 'op', node } as const, ...(after.get(node.id) ?? [])]);
}
