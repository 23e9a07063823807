import { messageFrame, payloadOf, type WireFrame } from './websocket-stream.ts';

/** What can happen to a message between two machines whose network, or whose peer, is broken. */
export const MESSAGE_FAULTS = ['duplicate', 'drop', 'truncate', 'flip', 'oversize', 'cut'] as const;
export type MessageFault = (typeof MESSAGE_FAULTS)[number];

export interface Damaged {
  /** What goes on instead. */
  readonly bytes: readonly Uint8Array[];
  /** The connection ends behind it. */
  readonly cut: boolean;
}

/** More than any limit of a receiver. */
const OVERSIZE = 2 ** 40;

/**
 * The frames of one message with a fault in them. Pure.
 *
 * - `duplicate`: it comes twice. `drop`: it does not come.
 * - `truncate`: it ends early, by a correct WebSocket frame. `flip`: one bit of it is another.
 * - `oversize`: it claims to be longer than anybody may send. `cut`: the connection ends in its middle.
 *
 * @param random gives numbers in [0, 1): where.
 */
export function damage(message: readonly WireFrame[], fault: MessageFault, random: () => number): Damaged {
  const raw = message.map(({ bytes }) => bytes);
  const { masked } = message[0];
  const place = (length: number) => Math.floor(random() * length);
  switch (fault) {
    case 'duplicate':
      return { bytes: [...raw, ...raw], cut: false };
    case 'drop':
      return { bytes: [], cut: false };
    case 'truncate': {
      const payload = Buffer.concat(message.map(payloadOf));
      return { bytes: [messageFrame(payload.subarray(0, place(payload.length)), masked)], cut: false };
    }
    case 'flip': {
      const payload = Buffer.concat(message.map(payloadOf));
      if (payload.length > 0) payload[place(payload.length)] ^= 1 << place(8);
      return { bytes: [messageFrame(payload, masked)], cut: false };
    }
    case 'oversize': {
      const payload = Buffer.concat(message.map(payloadOf));
      return { bytes: [messageFrame(payload, masked, OVERSIZE)], cut: false };
    }
    case 'cut': {
      const bytes = Buffer.concat(raw);
      return { bytes: [bytes.subarray(0, 1 + place(bytes.length - 1))], cut: true };
    }
    default:
      throw new RangeError(`no fault ${fault satisfies never}`);
  }
}
