/** Opcodes of RFC 6455, 5.2. */
export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** What a peer has sent is no WebSocket, or beyond a limit. */
export class WebSocketError extends Error {
  /** Of RFC 6455, 7.4.1. */
  readonly closeCode: 1002 | 1008 | 1009;

  constructor(closeCode: WebSocketError['closeCode'], message: string) {
    super(message);
    this.name = 'WebSocketError';
    this.closeCode = closeCode;
  }
}

export interface ReaderLimits {
  /** Servers expect masked frames, clients others. */
  readonly masked: boolean;
  /** Bytes of a message. */
  readonly maxPayload: number;
  /** Frames of a message. */
  readonly maxFragments: number;
}

/** Who hears what was read. Bytes are valid until it returns, and are theirs to change. */
export interface ReaderEvents {
  /** The next bytes of the message. */
  payload(bytes: Uint8Array): void;
  /** One of its frames is over, and others follow. */
  fragment(): void;
  /** The message is complete. */
  message(): void;
  /** A whole ping, pong or close, as it came, in memory of its own: also between the frames of a message. */
  control(frame: Buffer): void;
}

const LONGEST_HEAD = 14;
const LONGEST_CONTROL = 125;

/**
 * Reads the frames of a WebSocket (RFC 6455) without extensions out of the bytes of a connection, however they are cut, and hands payloads on
 * as they come: nothing is gathered. What RFC 6455 forbids is found as soon as the head of the frame is there.
 */
export class WebSocketReader {
  readonly #limits: ReaderLimits;
  readonly #events: ReaderEvents;
  readonly #head = new Uint8Array(LONGEST_HEAD);
  readonly #view = new DataView(this.#head.buffer);
  /** Bytes of the head of a frame that are there, and that it has as far as is known. */
  #headHas = 0;
  #headNeeds = 2;
  /** Of the frame: payload that is still to come. */
  #left = 0;
  #opcode = 0;
  #final = false;
  /** Where its mask lies in the head; 0: it has none, or one of zeros. */
  #mask = 0;
  #maskedBytes = 0;
  /** A control frame, and how much of it is there. */
  #control: Buffer | undefined;
  #controlHas = 0;
  /** Of the message: frames, and bytes of their payloads. */
  #fragments = 0;
  #messageBytes = 0;

  constructor(limits: ReaderLimits, events: ReaderEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  /** @throws WebSocketError; what follows is not to be read. */
  read(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#headHas < this.#headNeeds) {
        this.#head[this.#headHas++] = chunk[at++];
        if (this.#headHas === this.#headNeeds) this.#readHead();
      } else {
        const bytes = chunk.subarray(at, at + this.#left);
        at += bytes.length;
        this.#left -= bytes.length;
        this.#take(bytes);
        if (this.#left === 0) this.#endFrame();
      }
    }
  }

  #readHead(): void {
    const { maxPayload, maxFragments, masked } = this.#limits;
    const [first, second] = this.#head;
    const short = second & 0x7f;
    if (this.#headHas === 2) {
      this.#check(first, second);
      this.#headNeeds = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (masked ? 4 : 0);
      if (this.#headNeeds > 2) return;
    }
    this.#left = short === 126 ? this.#view.getUint16(2) : short === 127 ? Number(this.#view.getBigUint64(2)) : short;
    this.#opcode = first & 0x0f;
    this.#final = first >= 0x80;
    this.#mask = masked && this.#view.getUint32(this.#headNeeds - 4) !== 0 ? this.#headNeeds - 4 : 0;
    this.#maskedBytes = 0;
    if (this.#opcode >= OPCODE.close) {
      this.#control = Buffer.alloc(this.#headHas + this.#left);
      this.#control.set(this.#head.subarray(0, this.#headHas));
      this.#controlHas = this.#headHas;
    } else {
      this.#fragments += 1;
      this.#messageBytes += this.#left;
      if (this.#fragments > maxFragments) throw new WebSocketError(1008, 'Too many message fragments');
      if (this.#messageBytes > maxPayload) throw new WebSocketError(1009, 'Max payload size exceeded');
    }
    if (this.#left === 0) this.#endFrame();
  }

  #check(first: number, second: number): void {
    const opcode = first & 0x0f;
    const invalid = (what: string) => new WebSocketError(1002, `Invalid WebSocket frame: ${what}`);
    if ((first & 0x70) !== 0) throw invalid('RSV1, RSV2 and RSV3 must be clear');
    if (second >= 0x80 !== this.#limits.masked) throw invalid(`MASK must be ${this.#limits.masked ? 'set' : 'clear'}`);
    switch (opcode) {
      case OPCODE.continuation:
      case OPCODE.binary:
        if ((opcode === OPCODE.continuation) !== this.#fragments > 0) throw invalid(`invalid opcode ${opcode}`);
        return;
      case OPCODE.text:
        throw new WebSocketError(1002, 'expected a binary message, got a text message');
      case OPCODE.close:
      case OPCODE.ping:
      case OPCODE.pong:
        if (first < 0x80) throw invalid('FIN must be set');
        if ((second & 0x7f) > LONGEST_CONTROL) throw invalid(`invalid payload length ${second & 0x7f}`);
        return;
      default:
        throw invalid(`invalid opcode ${opcode}`);
    }
  }

  #take(bytes: Uint8Array): void {
    if (this.#control) {
      this.#control.set(bytes, this.#controlHas); // as it came: masked
      this.#controlHas += bytes.length;
      return;
    }
    if (this.#mask > 0) {
      for (let i = 0; i < bytes.length; i++) bytes[i] ^= this.#head[this.#mask + ((this.#maskedBytes + i) & 3)];
      this.#maskedBytes += bytes.length;
    }
    this.#events.payload(bytes);
  }

  #endFrame(): void {
    this.#headHas = 0;
    this.#headNeeds = 2;
    const control = this.#control;
    if (control) {
      this.#control = undefined;
      this.#events.control(control);
    } else if (this.#final) {
      this.#fragments = 0;
      this.#messageBytes = 0;
      this.#events.message();
    } else this.#events.fragment();
  }
}

/** Whether a control frame is a close. */
export const isClose = (frame: Uint8Array): boolean => (frame[0] & 0x0f) === OPCODE.close;

/** Parts of at most so many bytes are copied next to the head of their frame: a buffer of its own costs as much. */
const SHORT = 1024;

/** A message whose fragments are these parts, as buffers to be written one after the other; masked: by zeros. Long parts are not copied. */
export function writeMessage(parts: readonly Uint8Array[], masked: boolean): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  let short: Uint8Array[] = [];
  const flush = () => {
    if (short.length > 0) buffers.push(short.length === 1 ? short[0] : Buffer.concat(short));
    short = [];
  };
  parts.forEach((part, i) => {
    const opcode = i === 0 ? OPCODE.binary : OPCODE.continuation;
    short.push(writeHead(opcode, i === parts.length - 1, part.length, masked));
    if (part.length <= SHORT) short.push(part);
    else {
      flush();
      buffers.push(part);
    }
  });
  flush();
  return buffers;
}

function writeHead(opcode: number, final: boolean, length: number, masked: boolean): Uint8Array {
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = new Uint8Array(2 + extended + (masked ? 4 : 0));
  head[0] = opcode | (final ? 0x80 : 0);
  head[1] = (extended === 0 ? length : extended === 2 ? 126 : 127) | (masked ? 0x80 : 0);
  const view = new DataView(head.buffer);
  if (extended === 2) view.setUint16(2, length);
  else if (extended === 8) view.setBigUint64(2, BigInt(length));
  return head;
}
