import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { LockstepError } from 'lockstep';
import { describe, expect, it } from 'vitest';
import { answer, checkToken, isLoopback, makeNonce, makeToken, verify } from '../../cluster/security.ts';

const code = (f: () => unknown) => {
  try {
    f();
  } catch (error) {
    return error instanceof LockstepError ? error.code : error;
  }
  return undefined;
};

describe('a token', () => {
  it('that is made has 256 bits, is accepted, and is never made twice', () => {
    const tokens = Array.from({ length: 100 }, makeToken);
    expect(new Set(tokens).size).toBe(100);
    for (const token of tokens) {
      expect(Buffer.from(token, 'base64url')).toHaveLength(32);
      expect(checkToken(token, 'far.example')).toBe(token);
      expect(checkToken(`${token}\n`, 'far.example')).toBe(token); // read from a file
    }
  });

  it.each([
    ['', '0 characters'],
    ['secret', '6 characters'],
    ['0123456789abcdef0123456789abcde', '31 characters'],
    ['a'.repeat(64), '1 different characters'],
    ['correct horse battery staple of the stable', 'a space'],
    [`${'0123456789abcdef'.repeat(2)}\u0000`, 'does not print'],
    ['0123456789abcdef'.repeat(65), '1040 characters'],
  ])('%j is refused and not shown', (token, got) => {
    let message = '';
    try {
      checkToken(token, '127.0.0.1', 'LOCKSTEP_TOKEN');
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(got);
    expect(message).toContain('LOCKSTEP_TOKEN');
    if (token) expect(message).not.toContain(token);
  });

  it('is needed beyond loopback only', () => {
    for (const host of ['127.0.0.1', 'localhost', '::1', '[::1]']) expect(checkToken(undefined, host)).toBeUndefined();
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'trainer', 'fe80::1'])
      expect(code(() => checkToken(undefined, host))).toBe('E_OPTION');
  });
});

describe('isLoopback', () => {
  it.each(['127.0.0.1', '127.9.8.7', 'LocalHost', 'localhost.', '::1', '[::1]', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1'])(
    '%s: yes', (host) => expect(isLoopback(host)).toBe(true),
  ); // biome-ignore format: a table
  it.each(['', '0.0.0.0', '::', '128.0.0.1', '127.0.0.1.evil.example', '127.1.evil', 'localhost.evil', '::2', '1::1', '::11', '::1:1', '::ffff:10.0.0.1'])(
    '%s: no', (host) => expect(isLoopback(host)).toBe(false),
  ); // biome-ignore format: a table
});

describe('a proof', () => {
  const token = makeToken();
  const [ours, theirs] = [makeNonce(), makeNonce()];

  it('is the HMAC-SHA256 of OpenSSL over role, protocol and nonces', () => {
    const input = Buffer.concat([Buffer.from('lockstep cluster\0node\x001\0'), ours, theirs]);
    const hmac = execFileSync('openssl', ['dgst', '-sha256', '-hmac', token, '-binary'], { input });
    expect(Buffer.from(answer(token, 'node', 1, ours, theirs))).toEqual(hmac);
  });

  it('convinces the peer of the same token, role, protocol and connection, and nobody else', () => {
    const mac = answer(token, 'node', 1, ours, theirs); // the node has `theirs` as its own nonce
    expect(verify(token, 'node', 1, ours, theirs, mac)).toBe(true);
    expect(verify(makeToken(), 'node', 1, ours, theirs, mac)).toBe(false);
    expect(verify(undefined, 'node', 1, ours, theirs, mac)).toBe(false);
    expect(verify(token, 'coordinator', 1, ours, theirs, mac)).toBe(false); // sent back to its sender
    expect(verify(token, 'node', 2, ours, theirs, mac)).toBe(false);
    expect(verify(token, 'node', 11, ours, theirs, mac)).toBe(false);
    expect(verify(token, 'node', 1, makeNonce(), theirs, mac)).toBe(false); // recorded on another connection
    expect(verify(token, 'node', 1, theirs, ours, mac)).toBe(false);
  });

  it('fails when one bit of it, or its length, is another', () => {
    const mac = answer(token, 'node', 1, ours, theirs);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), (bit) => {
        const other = mac.slice();
        other[bit >> 3] ^= 1 << (bit & 7);
        return !verify(token, 'node', 1, ours, theirs, other);
      }),
    );
    for (const other of [mac.subarray(0, 31), new Uint8Array(33), new Uint8Array(0)])
      expect(verify(token, 'node', 1, ours, theirs, other)).toBe(false);
    expect(verify(token, 'node', 1, ours, theirs.subarray(1), mac)).toBe(false);
  });

  it('is not taken from a peer that sends our own nonce back', () => {
    expect(verify(token, 'node', 1, ours, ours, answer(token, 'node', 1, ours, ours))).toBe(false);
  });

  it('without tokens convinces those that have none', () => {
    const mac = answer(undefined, 'node', 1, ours, theirs);
    expect(verify(undefined, 'node', 1, ours, theirs, mac)).toBe(true);
    expect(verify(token, 'node', 1, ours, theirs, mac)).toBe(false);
  });
});
