import { damaged, quote } from './damage.ts';
import type { Manifest } from './manifest.ts';
import { f32Elements, type NamedTensor, type Safetensors } from './safetensors.ts';

/**
 * What the nodes of a run on many machines keep from round to round (src/parallel/kept-state.ts), as a coordinator's checkpoint has it: the
 * replica of the parameters that all of them hold, and for each seat the bytes of whoever sat there. A seat is a place in the order of
 * the nodes, so whoever takes it goes on from there.
 */
export interface SavedNodes {
  readonly replica?: Float32Array;
  readonly states: readonly SeatState[];
}

export interface SeatState {
  readonly seat: number;
  /** The step whose end it is of. */
  readonly after: number;
  readonly bytes: Uint8Array;
}

type Facts = NonNullable<Manifest['nodes']>;

const REPLICA = 'replica';
const seatName = (seat: number) => `seat-${seat}`;

export function nodeTensors({ replica, states }: SavedNodes): NamedTensor[] {
  const seats = states.map(({ seat, bytes }) => ({
    name: seatName(seat),
    dtype: 'U8' as const,
    shape: [bytes.length],
    bytes,
  }));
  if (!replica) return seats;
  const bytes = new Uint8Array(replica.buffer, replica.byteOffset, replica.byteLength);
  return [{ name: REPLICA, dtype: 'F32', shape: [replica.length], bytes }, ...seats];
}

/** @throws E_CHECKPOINT unless the file holds what the manifest says. */
export function readNodes({ states }: Facts, { tensors }: Safetensors, where: string): SavedNodes {
  const replica = tensors.get(REPLICA);
  if (replica && replica.dtype !== 'F32') throw damaged(where, `${REPLICA} as F32`, replica.dtype);
  const extra = [...tensors.keys()].find(
    (name) => name !== REPLICA && !states.some(({ seat }) => name === seatName(seat)),
  );
  if (extra !== undefined) throw damaged(where, 'the seats of the manifest', `also ${quote(extra)}`);
  return {
    ...(replica && { replica: f32Elements(replica) }),
    states: states.map(({ seat, after }) => {
      const tensor = tensors.get(seatName(seat));
      if (tensor?.dtype !== 'U8') throw damaged(where, `tensor ${seatName(seat)} as U8`, tensor?.dtype ?? 'nothing');
      return { seat, after, bytes: tensor.bytes };
    }),
  };
}
