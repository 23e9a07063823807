import type { KernelName } from '../kernels/table.ts';
import type { ConstantPool } from './constants.ts';
import type { GemmArgs, Lowering, OpDef } from './op.ts';
import { opOf } from './ops/table.ts';
import type { Lifetime } from './plan.ts';
import { planMemory } from './plan.ts';
import type { Call, Operand, Ref } from './program.ts';
import type { Item } from './schedule.ts';
import { storageOf } from './storage.ts';
import type { Tensor } from './tensor.ts';
import { sizeOf } from './tensor.ts';
import { readsOf, sliceRows, type TiledOps, tileSchedule, tilesOf } from './tiles.ts';

/** Planned buffers lie this far apart until their places are known, so that a shifted handle still names its buffer. */
const VIRTUAL_BYTES = 2 ** 36;

/**
 * Turns a schedule into kernel calls, of a program of `rows` rows. `home` says where tensors lie that need no planned memory (leaves, gradients);
 * `kept` tensors live to the end; the call that follows those of `forward` tensors is marked.
 */
export function emitCalls(
  schedule: readonly Item[],
  rows: number,
  home: ReadonlyMap<Tensor, Ref>,
  constants: ConstantPool,
  kept: readonly Tensor[],
  forward: ReadonlySet<Tensor>,
): { calls: Call[]; activationBytes: number; refOf: (x: Tensor) => Ref } {
  const items = tileSchedule(schedule, rows);
  const lastUse = lastUses(items, kept);
  const buffers: { bytes: number; first: number; last: number }[] = [];
  const bufferOf = new Map<Tensor, number>();
  const calls: { kernel: KernelName; args: Operand[]; bySample?: true }[] = [];
  let forwardCalls: number | undefined;

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

  /** Temporary memory at `time`; after a restart the same again, for the next op or tile. */
  const scratchAt = (time: number) => {
    const slots: number[] = [];
    let next = 0;
    return {
      restart(): void {
        next = 0;
      },
      take(elements: number): Ref {
        if (next === slots.length) slots.push(newBuffer(0, time, time));
        const buffer = slots[next++];
        buffers[buffer].bytes = Math.max(buffers[buffer].bytes, 4 * elements);
        return virtual(buffer);
      },
    };
  };
  type Scratch = ReturnType<typeof scratchAt>;

  const writer = (def: OpDef, scratch: Scratch, zeroed: Scratch, first: boolean): Omit<Lowering, 'out' | 'input'> => {
    const mark = def.bySample ? { bySample: true as const } : {};
    return {
      first,
      scratch: scratch.take,
      zeroed(elements) {
        const ref = zeroed.take(elements);
        if (first) calls.push({ kernel: 'fill', args: [ref, 0, elements] });
        return ref;
      },
      table: (values) => constants.table(values),
      call: (kernel, ...args) => calls.push({ kernel, args, ...mark }),
      gemm: (g) => calls.push({ kernel: 'gemm', args: gemmOperands(g), ...mark }),
    };
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
    def.lower(node, {
      ...writer(def, scratchAt(time), scratchAt(time), true),
      out,
      input: (i) => locate(node.inputs[i]),
    });
  };

  /** All tiles of a run of ops: its ops one after the other for some rows, then for the next. */
  const emitTiled = ({ nodes, tile }: TiledOps, time: number): void => {
    const own = new Set<Tensor>(); // what only the run reads: memory for one tile
    const outs = nodes.map((node) => {
      const fixed = home.get(node);
      if (fixed !== undefined) return fixed;
      const last = lastUse.get(node) ?? time;
      if (last === time && !opOf(node.op).adds) own.add(node);
      const elements = sizeOf(node.shape) / (own.has(node) ? rows / tile : 1);
      const buffer = newBuffer(Math.ceil(elements), time, last);
      bufferOf.set(node, buffer);
      return virtual(buffer);
    });
    const shared = scratchAt(time);
    const zeroed = nodes.map(() => scratchAt(time));
    for (const { start, count } of tilesOf(rows, tile)) {
      const rowsOf = (x: Tensor, at: Ref): Ref =>
        own.has(storageOf(x)) ? at : { ...at, offset: at.offset + 4 * start * (sizeOf(x.shape) / rows) };
      for (const [n, node] of nodes.entries()) {
        const def = opOf(node.op);
        const { adds, rows: tiled = [] } = def;
        shared.restart();
        zeroed[n].restart();
        def.lower?.(sliceRows(node, count), {
          ...writer(def, shared, zeroed[n], start === 0),
          out: adds ? outs[n] : rowsOf(node, outs[n]),
          input(i) {
            const x = node.inputs[i];
            return tiled.includes(i) ? rowsOf(x, locate(x)) : locate(x);
          },
        });
      }
    }
  };

  for (const [time, item] of items.entries()) {
    if (forwardCalls === undefined && isBackward(item, forward)) forwardCalls = calls.length;
    if (item.kind === 'op') emitOp(item.node, time);
    else if (item.kind === 'tiled') emitTiled(item, time);
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
    calls: calls.map(({ kernel, args, ...mark }, i) => ({
      kernel,
      ...mark,
      ...(i === forwardCalls ? { opensBackward: true as const } : {}),
      args: args.map((arg) => (typeof arg === 'number' ? arg : resolve(arg))),
    })),
    activationBytes: plan.bytes,
    refOf: (x) => resolve(locate(x)),
  };
}

function isBackward(item: Item | TiledOps, forward: ReadonlySet<Tensor>): boolean {
  if (item.kind === 'op') return !forward.has(item.node);
  return item.kind === 'tiled' && item.nodes.some((node) => !forward.has(node));
}

function gemmOperands(g: GemmArgs): Operand[] {
  return [Number(g.transA), Number(g.transB), g.m, g.n, g.k, g.a, g.lda, g.b, g.ldb, g.beta, g.c, g.ldc];
}

/** The time at which each stored tensor is read for the last time. */
function lastUses(items: readonly (Item | TiledOps)[], kept: readonly Tensor[]): Map<Tensor, number> {
  const lastUse = new Map<Tensor, number>();
  const read = (x: Tensor, time: number): void => {
    lastUse.set(storageOf(x), time);
  };
  for (const [time, item] of items.entries()) {
    if (item.kind === 'tiled') for (const node of item.nodes) for (const x of node.inputs) read(x, time);
    // An alias reads nothing; whoever reads the alias reads its storage.
    else if (item.kind !== 'op' || !opOf(item.node.op).alias) for (const x of readsOf(item)) read(x, time);
  }
  for (const x of kept) read(x, items.length);
  return lastUse;
}
