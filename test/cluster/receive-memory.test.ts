import { describe, expect, it } from 'vitest';
import { ReadBuffers, ReceiveMemory } from '../../cluster/receive-memory.ts';

describe('buffers for reading', () => {
  it('are used again when a message has taken what is in them, and not before', () => {
    const buffers = new ReadBuffers();
    const memory = new ReceiveMemory(buffers);
    const seen = new Set<ArrayBufferLike>();
    let held: Buffer[] = [];
    let where = buffers.next();
    for (let i = 1; i <= 400; i++) {
      const bytes = Math.min(where.length, 1 + ((i * 40_503) % 150_000));
      where.fill(i & 0xff, 0, bytes);
      const chunk = buffers.took(bytes);
      expect(chunk.length).toBe(bytes);
      memory.add(chunk);
      held.push(chunk);
      seen.add(chunk.buffer);
      const at = held.map(({ 0: first }) => first);
      expect(at).toEqual(held.map((_, j) => (i - held.length + 1 + j) & 0xff)); // nothing was written over
      if (i % 5 === 0) {
        memory.take([]);
        held = held.slice(-1);
      }
      where = buffers.next();
      expect(where.length).toBeGreaterThanOrEqual(64 * 1024);
    }
    expect(seen.size).toBeLessThan(10);
  });

  it('are left to whoever holds on to a part of them', () => {
    const buffers = new ReadBuffers();
    const memory = new ReceiveMemory(buffers);
    const ping = (() => {
      buffers.next();
      return buffers.took(6);
    })();
    ping.fill(9);
    memory.add(ping);
    memory.keep(ping.subarray(2, 4));
    for (let i = 0; i < 50; i++) {
      const where = buffers.next();
      expect(where.buffer).not.toBe(ping.buffer);
      where.fill(1);
      memory.add(buffers.took(100_000));
      memory.take([]);
    }
    expect([...ping]).toEqual([9, 9, 9, 9, 9, 9]);
  });

  it('give regions memory of their own', () => {
    const buffers = new ReadBuffers();
    const memory = new ReceiveMemory(buffers);
    buffers.next();
    const chunk = buffers.took(20_000).fill(3);
    memory.add(chunk);
    const whole = new Uint8Array(new ArrayBuffer(20_000));
    const [view, own] = memory.take([chunk.subarray(10, 20), whole]);
    expect(view.buffer).not.toBe(chunk.buffer);
    expect([...view]).toEqual(new Array(10).fill(3));
    expect(own).toBe(whole);
  });
});
