/** What of protobuf's wire format is needed to write messages (https://protobuf.dev/programming-guides/encoding). */
const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** One message under construction; fields in any order, each call appends one. */
export class Message {
  readonly #parts: Uint8Array[] = [];

  /** A non-negative integer, at most 2^53 - 1. */
  varint(field: number, value: number): this {
    return this.#add(varint(tag(field, WIRE.varint)), varint(value));
  }

  double(field: number, value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.#add(varint(tag(field, WIRE.fixed64)), bytes);
  }

  /** Several, packed. */
  doubles(field: number, values: readonly number[]): this {
    return this.bytes(field, new Uint8Array(Float64Array.from(values).buffer));
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    return this.#add(varint(tag(field, WIRE.fixed32)), bytes);
  }

  bytes(field: number, value: Uint8Array): this {
    return this.#add(varint(tag(field, WIRE.bytes)), varint(value.length), value);
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value));
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.encode());
  }

  encode(): Uint8Array {
    return Buffer.concat(this.#parts);
  }

  #add(...parts: Uint8Array[]): this {
    this.#parts.push(...parts);
    return this;
  }
}

function tag(field: number, wire: number): number {
  return field * 8 + wire;
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
