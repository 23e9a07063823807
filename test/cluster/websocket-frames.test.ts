import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as ws from 'ws';
import { isClose, WebSocketError, WebSocketReader, writeMessage } from '../../cluster/websocket-frames.ts';

/** The halves of ws, which its types do not have. */
const { Receiver, Sender } = ws as unknown as {
  Receiver: new (options: object) => NodeJS.EventEmitter & { write(bytes: Uint8Array): void };
  Sender: new (
    socket: Duplex,
    extensions: object,
    mask: ((key: Buffer) => void) | undefined,
  ) => { send(data: Uint8Array, options: object): void; ping(data: Buffer, mask: boolean, done: () => void): void };
};

/** What a peer does: a message in so many fragments, or a ping in the midst of them. */
interface Said {
  readonly fragments: readonly Uint8Array[];
  readonly ping: boolean;
}

/** What ws would send. */
function sentByWs(said: readonly Said[], mask: boolean): Buffer {
  const chunks: Buffer[] = [];
  const socket = new Duplex({
    read: () => {},
    write(chunk, _, done) {
      chunks.push(Buffer.from(chunk));
      done();
    },
  });
  const sender = new Sender(socket, {}, mask ? (key) => randomBytes(4).copy(key) : undefined);
  for (const { fragments, ping } of said) {
    fragments.forEach((data, i) => {
      sender.send(data, { binary: true, compress: false, fin: i === fragments.length - 1, mask });
      if (ping && i === 0) sender.ping(Buffer.from(`after ${data.length}`), mask, () => {});
    });
  }
  return Buffer.concat(chunks);
}

/** What a reader makes of bytes that come in these cuts: messages, and control frames as ws reads them. */
function read(bytes: Uint8Array, cuts: readonly number[], masked: boolean) {
  const messages: Buffer[][] = [];
  let parts: Buffer[] = [];
  let part: Buffer[] = [];
  const controls: Buffer[] = [];
  const endFragment = () => {
    parts.push(Buffer.concat(part));
    part = [];
  };
  const reader = new WebSocketReader(
    { masked, maxPayload: 1 << 20, maxFragments: 8 },
    {
      payload: (of) => void part.push(Buffer.from(of)),
      fragment: endFragment,
      message() {
        endFragment();
        messages.push(parts);
        parts = [];
      },
      control: (frame) => void controls.push(frame),
    },
  );
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const cut of [...new Set([...cuts, all.length])].filter((n) => n <= all.length).sort((a, b) => a - b)) {
    reader.read(all.subarray(at, cut));
    at = cut;
  }
  return { messages, controls };
}

const said = fc.array(
  fc.record({
    fragments: fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 4 }),
    ping: fc.boolean(),
  }),
  { maxLength: 4 },
);

describe('what a WebSocket brings', () => {
  it('is read as ws has written it, however it is masked, cut into fragments and cut on the way', () => {
    fc.assert(
      fc.property(said, fc.array(fc.nat(4000), { maxLength: 40 }), fc.boolean(), (of, cuts, masked) => {
        const { messages, controls } = read(sentByWs(of, masked), cuts, masked);
        expect(messages.map((parts) => parts.map((part) => [...part]))).toEqual(
          of.map(({ fragments }) => fragments.map((part) => [...part])),
        );
        const pings: string[] = [];
        const receiver = new Receiver({ isServer: masked });
        receiver.on('ping', (data: Buffer) => pings.push(data.toString()));
        for (const frame of controls) receiver.write(frame);
        expect(pings).toEqual(of.flatMap(({ fragments, ping }) => (ping ? [`after ${fragments[0].length}`] : [])));
      }),
    );
  });

  it('is the same at every cut, at lengths where heads change', () => {
    for (const length of [0, 125, 126, 65_535, 65_536]) {
      const bytes = sentByWs([{ fragments: [new Uint8Array(length).fill(7), new Uint8Array(3)], ping: true }], true);
      for (let cut = 0; cut < 24; cut++) {
        const { messages, controls } = read(bytes, [cut, bytes.length - cut], true);
        expect(messages.map((parts) => parts.map((part) => part.length))).toEqual([[length, 3]]);
        expect(messages[0][0].every((byte) => byte === 7)).toBe(true);
        expect(controls).toHaveLength(1);
      }
    }
  });

  it('is read by ws as we have written it, long parts from where they lie', () => {
    for (const masked of [false, true]) {
      const messages = [[0], [1, 125], [126, 127, 65_535], [65_536, 3, 3, 100_000, 0], [1024, 1025]].map((lengths) =>
        lengths.map((length, i) => new Uint8Array(length).fill(length + i)),
      );
      const receiver = new Receiver({ isServer: masked, binaryType: 'fragments' });
      const got: Buffer[] = [];
      receiver.on('message', (parts: Buffer[]) => got.push(Buffer.concat(parts)));
      for (const parts of messages) {
        const buffers = writeMessage(parts, masked);
        for (const part of parts.filter(({ length }) => length > 1024)) expect(buffers).toContain(part);
        for (const buffer of buffers) receiver.write(buffer);
      }
      expect(got.map((of) => of.length)).toEqual(
        messages.map((parts) => parts.reduce((sum, { length }) => sum + length, 0)),
      );
      expect(got.every((of, i) => of.equals(Buffer.concat(messages[i])))).toBe(true);
    }
  });

  const head = (...bytes: number[]) => Uint8Array.from(bytes);
  it.each<[string, Uint8Array, number]>([
    ['RSV1', head(0xc2, 0x80, 0, 0, 0, 0), 1002],
    ['RSV2', head(0xa2, 0x80, 0, 0, 0, 0), 1002],
    ['RSV3', head(0x92, 0x80, 0, 0, 0, 0), 1002],
    ['no mask', head(0x82, 0x01, 0), 1002],
    ['an unknown opcode', head(0x83, 0x80, 0, 0, 0, 0), 1002],
    ['an unknown control opcode', head(0x8b, 0x80, 0, 0, 0, 0), 1002],
    ['a continuation of nothing', head(0x80, 0x80, 0, 0, 0, 0), 1002],
    ['a message within a message', head(0x02, 0x80, 0, 0, 0, 0, 0x82, 0x80, 0, 0, 0, 0), 1002],
    ['a control frame in fragments', head(0x09, 0x80, 0, 0, 0, 0), 1002],
    ['a long control frame', head(0x89, 0xfe, 0, 126, 0, 0, 0, 0), 1002],
  ])('refuses %s as ws does', (_, bytes, code) => {
    const refusal = (): WebSocketError => {
      try {
        read(bytes, [], true);
      } catch (error) {
        if (error instanceof WebSocketError) return error;
      }
      throw new Error('it was read');
    };
    expect(refusal().closeCode).toBe(code);
    const receiver = new Receiver({ isServer: true, maxPayload: 1 << 20 });
    let status: unknown;
    receiver.on('error', (error: object) => {
      status = Object.getOwnPropertySymbols(error).map((key) => (error as Record<symbol, unknown>)[key])[0];
    });
    receiver.write(Buffer.from(bytes));
    expect(status ?? code).toBe(code);
  });

  it('is refused beyond the limits: as soon as a head claims it', () => {
    const claim = (length: bigint) => {
      const bytes = new Uint8Array(14);
      bytes.set([0x82, 0xff]);
      new DataView(bytes.buffer).setBigUint64(2, length);
      return bytes;
    };
    for (const length of [(1n << 20n) + 1n, 1n << 40n, (1n << 64n) - 1n]) {
      expect(() => read(claim(length), [], true)).toThrow(/Max payload/);
    }
    expect(read(claim(1n << 20n), [], true).messages).toEqual([]);
    const halves = sentByWs(
      [{ fragments: [new Uint8Array(1 << 19), new Uint8Array((1 << 19) + 1)], ping: false }],
      false,
    );
    expect(() => read(halves, [], false)).toThrow(/Max payload/); // all fragments count
    const nine = sentByWs([{ fragments: Array.from({ length: 9 }, () => new Uint8Array(1)), ping: false }], false);
    expect(() => read(nine, [], false)).toThrow(/fragments/);
    expect(() => read(head(0x81, 0x80, 0, 0, 0, 0), [], true)).toThrow(/binary message/);
  });

  it('tells a close from a ping', () => {
    expect([0x88, 0x89, 0x8a].map((first) => isClose(head(first, 0)))).toEqual([true, false, false]);
  });
});
