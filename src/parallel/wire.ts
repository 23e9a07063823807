import { batchesOf } from './inner-steps.ts';
import { gatheredSums, noteReplica, type RoundTask, replicatedStep, roundWordsOf } from './rounds.ts';
import type { NodeSum } from './step-plan.ts';
import { type Codec, codecOf, encodedPlaces, WIRE_FORMATS } from './wire-format.ts';
import type { WorkerState } from './worker-state.ts';

/** Where a block lies in the worker's scratch while it is encoded; before it the encoder has its own. */
const BLOCK_AT = 16 * 1024;

/**
 * A worker's part in a lossy wire format: encodes and decodes its own blocks between the phases of a round. The main thread only sends
 * and receives the bytes.
 */
export class Wire {
  readonly #worker: WorkerState;
  /** Of the format in use; a node hears of it with each task. */
  #codec: Codec | undefined;
  #places: Int32Array = new Int32Array(0);
  /** The blocks that have no gradient were encoded. */
  #encodedFrozen = false;

  constructor(worker: WorkerState) {
    this.#worker = worker;
    this.#use(codecOf(worker.session.wire ?? 'fp32'));
  }

  #use(codec: Codec | undefined): void {
    if (codec === this.#codec) return;
    this.#codec = codec;
    this.#encodedFrozen = false;
    this.#places = codec ? encodedPlaces(this.#worker.session.blocks, codec) : new Int32Array(0);
  }

  /**
   * Coordinator, before a round: what nodes need of the parameters, encoded. True: an encoding by which nodes that had the round before
   * have this one's; false: they need the whole replica. With `takes` formats that is the difference to the replica which all nodes
   * hold, and which follows: what a difference does not say is in the next. It lies in the arena, so that a round that is done again by new
   * threads, or by another process from a checkpoint, finds it.
   */
  prepare(t: number, pass: number): boolean {
    const codec = this.#codec;
    if (!codec) return false;
    const { kernels, barrier, regions, session, reducedBlocks, frozenBlocks } = this.#worker;
    const { parameters, wire } = session.layout;
    const words = roundWordsOf(session);
    const replicated = replicatedStep(words);
    if (codec.takes && pass === 0 && t === replicated) return false; // done again
    const follows = !codec.takes || (pass === 0 && t - 1 === replicated);
    const change = regions.scratch + BLOCK_AT;
    if (codec.takes) {
      barrier.wait(); // all have seen what the replica was
      noteReplica(words, undefined);
    }
    for (const blocks of [reducedBlocks, frozenBlocks]) {
      for (const { offset, length, index } of blocks) {
        const [master, out, replica] = [
          parameters + 4 * offset,
          wire.down + this.#places[index],
          wire.replica + 4 * offset,
        ];
        if (!codec.takes) codec.encode(kernels, out, master, length, regions.scratch);
        else if (!follows) kernels.copy(replica, master, length);
        else {
          kernels.sub(change, master, replica, 1, length, 0, 1, 0, 1);
          codec.encode(kernels, out, change, length, regions.scratch);
          codec.decode(kernels, replica, out, length, true);
        }
      }
    }
    barrier.wait(); // all blocks are encoded
    if (codec.takes && pass === 0) noteReplica(words, t);
    return follows;
  }

  /** Coordinator: the partial sums that came, in my blocks. The main thread has seen that they are sound. */
  decodeSums(): void {
    const codec = this.#codec;
    if (!codec) return;
    const { kernels, session, reducedBlocks } = this.#worker;
    for (const { first, address } of gatheredSums(session, roundWordsOf(session))) {
      const from = session.layout.wire.sums[first];
      for (const { offset, length, index } of reducedBlocks) {
        codec.decode(kernels, address + 4 * offset, from + this.#places[index], length, false);
      }
    }
  }

  /** Node, before the shards of a task: the parameters that came encoded, into place. */
  takeUpdate({ format, update }: RoundTask): void {
    this.#use(codecOf(WIRE_FORMATS[format]));
    const codec = this.#codec;
    if (!codec || !update) return;
    const { kernels, barrier, session, reducedBlocks, frozenBlocks } = this.#worker;
    const { parameters, wire } = session.layout;
    for (const blocks of [reducedBlocks, frozenBlocks]) {
      for (const { offset, length, index } of blocks) {
        codec.decode(kernels, parameters + 4 * offset, wire.down + this.#places[index], length, codec.takes);
      }
    }
    barrier.wait(); // the forward pass may read the parameters
  }

  /**
   * Node, after the reduction: my blocks of the node's sums, encoded. Rounded sums need not follow the gradient tree, so all are added
   * up and go as one, whatever shards the node has. The sums are divided by the weight of the whole batch, so what a former one has left
   * unsaid counts for as much as it did there only in proportion to the rows of the batches.
   */
  encodeSums(from: readonly NodeSum[], task: RoundTask): void {
    const codec = this.#codec;
    if (!codec) return;
    const { kernels, regions, session, reducedBlocks } = this.#worker;
    const { residual, sums } = session.layout.wire;
    this.#encodeFrozen(codec);
    const anew = task.after === 0;
    const rescaled = codec.takes && !anew ? this.#rowsOf(task.step, task) / this.#rowsOf(task.after, task) : 1;
    for (const { offset, length, index } of reducedBlocks) {
      const at = 4 * offset;
      const total = codec.takes ? residual + at : from[0]?.address + at;
      if (codec.takes && anew) kernels.fill(total, 0, length);
      else if (rescaled !== 1) kernels.scale(total, total, length, rescaled);
      if (from.length === 0) continue; // a ragged batch has no row for this node
      for (let i = codec.takes ? 0 : 1; i < from.length; i++) {
        kernels.addPartials(total, total, from[i].address + at, length);
      }
      codec.encode(kernels, sums[0] + this.#places[index], total, length, regions.scratch);
    }
  }

  /** Of all batches of a step. */
  #rowsOf(step: number, { pace }: RoundTask): number {
    const { session, sampler } = this.#worker;
    const batches = batchesOf({ pace, totalSteps: session.totalSteps }, sampler, step);
    return batches.reduce((sum, rows) => sum + rows, 0);
  }

  /** Frozen blocks have no gradient, but a place in what is sent: zeros, once. */
  #encodeFrozen(codec: Codec): void {
    if (this.#encodedFrozen || !codec.takes) return;
    this.#encodedFrozen = true;
    const { kernels, regions, session, frozenBlocks } = this.#worker;
    const { residual, sums } = session.layout.wire;
    for (const { offset, length, index } of frozenBlocks) {
      kernels.fill(residual + 4 * offset, 0, length);
      codec.encode(kernels, sums[0] + this.#places[index], residual + 4 * offset, length, regions.scratch);
    }
  }
}
