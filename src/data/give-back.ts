import { MessageChannel } from 'node:worker_threads';

/** A port that is closed: what is transferred to it belongs to nobody, and is freed. */
const nobody = new MessageChannel().port1;
nobody.close();

/**
 * Gives memory back at once, instead of leaving it to the garbage collector, which looks when JavaScript's own memory is full. Nobody may use the
 * arrays any more: they are empty. Memory that is shared, or not all of the array's, stays.
 */
export function giveBack(...arrays: readonly ArrayBufferView[]): void {
  const buffers = arrays.flatMap(({ buffer, byteLength }) =>
    buffer instanceof ArrayBuffer && byteLength === buffer.byteLength ? [buffer] : [],
  );
  if (buffers.length > 0) nobody.postMessage(undefined, buffers);
}
