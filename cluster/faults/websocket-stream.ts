/** A WebSocket frame on its way (RFC 6455, 5.2): its bytes as they came, and where they say what. */
export interface WireFrame {
  /** Header, mask and payload. */
  readonly bytes: Uint8Array;
  /** Length of header and mask. */
  readonly head: number;
  readonly opcode: number;
  /** The last of its message. */
  readonly final: boolean;
  readonly masked: boolean;
}

const [SHORTEST_HEAD, MASK_BYTES] = [2, 4];
/** Opcodes from here on are control frames, which may come between the frames of a message. */
export const CONTROL = 8;

/**
 * Cuts one direction of a WebSocket connection into frames: first the HTTP head as one piece of bytes, then frame by frame. What is no
 * WebSocket (TLS, a refusal) comes out as it came in.
 */
export class WebSocketStream {
  #waiting: Uint8Array = new Uint8Array(0);
  #state: 'head' | 'frames' | 'other' = 'head';

  /** Takes what the socket gave; what is whole comes out, in order. */
  push(chunk: Uint8Array): (WireFrame | Uint8Array)[] {
    if (this.#state === 'other') return [chunk];
    this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
    const whole: (WireFrame | Uint8Array)[] = [];
    if (this.#state === 'head') {
      const text = Buffer.from(this.#waiting.buffer, this.#waiting.byteOffset, this.#waiting.length);
      const end = text.indexOf('\r\n\r\n') + 4;
      const upgrades = /^(GET |HTTP\/1\.1 101 )/;
      if (text.length >= 16 && !upgrades.test(text.toString('latin1', 0, 16))) {
        this.#state = 'other';
        return [this.#take(this.#waiting.length)];
      }
      if (end < 4) return [];
      whole.push(this.#take(end));
      this.#state = 'frames';
    }
    for (let frame = this.#frame(); frame; frame = this.#frame()) whole.push(frame);
    return whole;
  }

  /** What is left of an unfinished frame, when the stream ends. */
  rest(): Uint8Array {
    return this.#take(this.#waiting.length);
  }

  #frame(): WireFrame | undefined {
    const bytes = this.#waiting;
    if (bytes.length < SHORTEST_HEAD) return undefined;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const masked = (bytes[1] & 0x80) !== 0;
    let length = bytes[1] & 0x7f;
    let head = SHORTEST_HEAD;
    if (length === 126) {
      head += 2;
      if (bytes.length < head) return undefined;
      length = view.getUint16(2);
    } else if (length === 127) {
      head += 8;
      if (bytes.length < head) return undefined;
      length = Number(view.getBigUint64(2));
    }
    if (masked) head += MASK_BYTES;
    if (bytes.length < head + length) return undefined;
    const [opcode, final] = [bytes[0] & 0x0f, (bytes[0] & 0x80) !== 0];
    return { bytes: this.#take(head + length), head, opcode, final, masked };
  }

  #take(length: number): Uint8Array {
    const taken = this.#waiting.subarray(0, length);
    this.#waiting = this.#waiting.subarray(length);
    return taken;
  }
}

/** The payload as its sender gave it. */
export function payloadOf({ bytes, head, masked }: WireFrame): Uint8Array {
  const payload = new Uint8Array(bytes.subarray(head)); // a copy, of a Buffer, too
  if (!masked) return payload;
  for (let i = 0; i < payload.length; i++) payload[i] ^= bytes[head - MASK_BYTES + (i & 3)];
  return payload;
}

/** A binary message in one frame; masked, as clients must, with zeros. `length` may be another than that of the payload: a lie. */
export function messageFrame(payload: Uint8Array, masked: boolean, length = payload.length): Uint8Array {
  const mask = masked ? MASK_BYTES : 0;
  const long = length < 126 ? 0 : length < 65536 ? 2 : 8;
  const head = SHORTEST_HEAD + long + mask;
  const bytes = new Uint8Array(head + payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x82;
  bytes[1] = (masked ? 0x80 : 0) | (long === 0 ? length : long === 2 ? 126 : 127);
  if (long === 2) view.setUint16(2, length);
  if (long === 8) view.setBigUint64(2, BigInt(length));
  bytes.set(payload, head);
  return bytes;
}
