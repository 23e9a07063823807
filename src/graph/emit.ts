import type { KernelName } from '../kernels/table.ts';
import type { ConstantPool } from './constants.ts';
import type { GemmArgs, Lowering, OpDef } from './op.ts';
import { opOf } from './ops/table.ts';
import type { Lifetime } from './plan.ts';
import { planMemory } from './plan.ts';
import type { Call, Operand, Ref } from './program.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';

/** One entry of the schedule: an op, or work beside the graph that reads tensors. Its index is the time. */
export type Item =
  | { readonly kind: 'op'; readonly node: Tensor }
  | { readonly kind: 'sum'; readonly value: Tensor; readonly weight: Tensor | undefined; readonly to: Ref }
  | { readonly kind: 'copy'; readonly source: Tensor; readonly to: Ref }
  | {
      readonly kind: 'rows';
      readonly ids: Tensor;
      readonly gradient: Tensor;
      readonly tableRows: number;
      readonly to: Ref;
    };

/** The tensor whose memory this one is: reshape and the like have none of their own. */
export function storageOf(node: Tensor): Tensor {
  let storage = node;
  while (opOf(storage.op).alias) storage = storage.inputs[0];
  return storage;
}

/** Planned buffers lie this far apart until their places are known, so that a shifted handle still names its buffer. */
const VIRTUAL_BYTES = 2 ** 36;

/**
 * Turns a schedule into kernel calls. `home` says where tensors lie that need no planned memory (leaves, gradients);
 * `kept` tensors live to the end.
 */
export function emitCalls(
  items: readonly Item[],
  home: ReadonlyMap<Tensor, Ref>,
  constants: ConstantPool,
  kept: readonly Tensor[],
): { calls: Call[]; activationBytes: number; refOf: (x: Tensor) => Ref } {
  const lastUse = lastUses(items, kept);
  const buffers: { bytes: number; first: number; last: number }[] = [];
  const bufferOf = new Map<Tensor, number>();
  const calls: { kernel: KernelName; args: Operand[]; bySample?: true }[] = [];

  const newBuffer = (elements: number, first: number, last: number): number =>
    buffers.push({ bytes: 4 * elements, first, last }) - 1;
  const virtual = (buffer: number): Ref => ({ region: 'activations', offset: buffer * VIRTUAL_BYTES });
  const locate = (x: Tensor): Ref => {
    const storage = storageOf(x);
    const fixed = home.get(storage);
    if (fixed !== undefined) return fixed;
    const buffer = bufferOf.get(storage);
    if (buffer === undefined) throw new TypeError(`${x.op} is read before it is computed`);
    return virtual(buffer);
  };

  /** The buffer of an input that dies here and that the result may take over. */
  const takeOver = (node: Tensor, def: OpDef, time: number): number | undefined => {
    for (const i of def.inPlace ?? []) {
      const x = node.inputs[i];
      if (x === undefined || sizeOf(x.shape) !== sizeOf(node.shape)) continue;
      const storage = storageOf(x);
      const buffer = bufferOf.get(storage);
      if (buffer !== undefined && lastUse.get(storage) === time) return buffer;
    }
    return undefined;
  };

  const emitOp = (node: Tensor, time: number): void => {
    const def = opOf(node.op);
    if (def.alias || (def.lower === undefined && home.has(node))) return;
    if (def.lower === undefined) throw new TypeError(`${node.op} has no kernel`);
    let out = home.get(node);
    if (out === undefined) {
      const last = lastUse.get(node) ?? time;
      let buffer = takeOver(node, def, time);
      if (buffer === undefined) buffer = newBuffer(sizeOf(node.shape), time, last);
      else buffers[buffer].last = last;
      bufferOf.set(node, buffer);
      out = virtual(buffer);
    }
    const mark = def.bySample ? { bySample: true as const } : {};
    const lowering: Lowering = {
      out,
      input: (i) => locate(node.inputs[i]),
      scratch: (elements) => virtual(newBuffer(elements, time, time)),
      table: (values) => constants.table(values),
      call: (kernel, ...args) => calls.push({ kernel, args, ...mark }),
      gemm: (g) => calls.push({ kernel: 'gemm', args: gemmOperands(g), ...mark }),
    };
    def.lower(node, lowering);
  };

  for (const [time, item] of items.entries()) {
    if (item.kind === 'op') emitOp(item.node, time);
    else if (item.kind === 'copy') {
      calls.push({ kernel: 'copy', args: [item.to, locate(item.source), sizeOf(item.source.shape)] });
    } else if (item.kind === 'rows') {
      const { to, ids, gradient, tableRows } = item;
      const count = sizeOf(ids.shape);
      const scratch = virtual(newBuffer(4 * count + 256, time, time));
      const width = sizeOf(gradient.shape) / count;
      calls.push({ kernel: 'listRows', args: [to, locate(ids), locate(gradient), count, width, tableRows, scratch] });
    } else {
      const count = sizeOf(item.value.shape);
      if (item.weight === undefined) calls.push({ kernel: 'sumF64', args: [item.to, locate(item.value), count] });
      else calls.push({ kernel: 'dotF64', args: [item.to, locate(item.value), locate(item.weight), count] });
    }
  }

  const plan = planMemory(buffers satisfies Lifetime[]);
  const resolve = (ref: Ref): Ref => {
    if (ref.region !== 'activations') return ref;
    const buffer = Math.floor(ref.offset / VIRTUAL_BYTES);
    return { region: 'activations', offset: plan.offsets[buffer] + (ref.offset % VIRTUAL_BYTES) };
  };
  return {
    calls: calls.map(({ kernel, args, ...mark }) => ({
      kernel,
      ...mark,
      args: args.map((arg) => (typeof arg === 'number' ? arg : resolve(arg))),
    })),
    activationBytes: plan.bytes,
    refOf: (x) => resolve(locate(x)),
  };
}

function gemmOperands(g: GemmArgs): Operand[] {
  return [Number(g.transA), Number(g.transB), g.m, g.n, g.k, g.a, g.lda, g.b, g.ldb, g.beta, g.c, g.ldc];
}

/** The time at which each stored tensor is read for the last time. */
function lastUses(items: readonly Item[], kept: readonly Tensor[]): Map<Tensor, number> {
  const lastUse = new Map<Tensor, number>();
  const read = (x: Tensor, time: number): void => {
    lastUse.set(storageOf(x), time);
  };
  for (const [time, item] of items.entries()) {
    if (item.kind === 'op') {
      // An alias reads nothing; whoever reads the alias reads its storage.
      if (!opOf(item.node.op).alias) for (const x of item.node.inputs) read(x, time);
    } else if (item.kind === 'copy') read(item.source, time);
    else if (item.kind === 'rows') {
      read(item.ids, time);
      read(item.gradient, time);
    } else {
      read(item.value, time);
      if (item.weight !== undefined) read(item.weight, time);
    }
  }
  for (const x of kept) read(x, items.length);
  return lastUse;
}
