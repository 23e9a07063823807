import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PIECE_BYTES, queueLimits } from '../../cluster/transfer.ts';
import { type SumHeader, Upload } from '../../cluster/upload.ts';
import type { Session } from '../../src/parallel/session.ts';

/** As far as an upload looks at it: one flat vector. */
function sessionOf(size: number, memory: { buffer: ArrayBufferLike }): Session {
  const tensors = [{ name: 'w', shape: [size], offset: 0, size, sparse: false }];
  return { tensors, memory, layout: {}, blocks: [] } as unknown as Session;
}

test('pieces come from the end, without gaps, none before it is final, and little is left for the end', () => {
  const size = 600_000;
  const memory = { buffer: new SharedArrayBuffer(8 + 4 * size) };
  new Float32Array(memory.buffer, 8).forEach((_, i, floats) => {
    floats[i] = i;
  });
  fc.assert(
    fc.property(fc.array(fc.nat({ max: size }), { maxLength: 8 }), (finals) => {
      let end = 4 * size;
      let final = size;
      const send = async (bytes: Uint8Array, { offset }: SumHeader) => {
        expect(offset + bytes.length).toBe(end);
        expect(offset).toBeGreaterThanOrEqual(4 * final);
        expect(bytes.length).toBeLessThanOrEqual(PIECE_BYTES);
        expect(new Float32Array(bytes.buffer, bytes.byteOffset, 1)[0]).toBe(offset / 4);
        end = offset;
      };
      const upload = new Upload(sessionOf(size, memory), [{ first: 2, count: 1, address: 8 }], undefined, send);
      for (const from of finals.sort((a, b) => b - a)) {
        final = from;
        upload.sendFrom(from);
        expect(end - 4 * final).toBeLessThan(64 * 1024);
      }
      final = 0;
      upload.sendRest();
      expect(end).toBe(0);
    }),
    { numRuns: 30 },
  );
});

test('all of a round may wait to be sent, of a model of any size', () => {
  for (const size of [1000, 100_000_000, 900_000_000]) {
    const { maxQueuedBytes, maxQueuedMessages } = queueLimits(sessionOf(size, { buffer: new ArrayBuffer(0) }));
    expect(maxQueuedBytes).toBeGreaterThan(2 * 4 * size);
    expect(maxQueuedMessages).toBeGreaterThan((2 * 4 * size) / PIECE_BYTES + 100);
  }
});
