import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { LockstepError } from '../src/errors.ts';

/**
 * Who talks to whom: coordinator and nodes share a token that never crosses the wire. Each end sends a nonce, and proves that it has
 * the token by an HMAC over both nonces and its role, so a proof fits one connection, one direction and one version of the protocol.
 * docs/security.md says what this keeps out and what it does not.
 */
export type Role = 'coordinator' | 'node';

export const NONCE_BYTES = 32;
export const MAC_BYTES = 32;
/** Whoever talks to one end can try tokens against its proof at leisure: 128 bits, which are 32 hexadecimal digits. */
export const SHORTEST_TOKEN = 32;
const LONGEST_TOKEN = 1024;
/** Tells a phrase of one key held down from a token; random ones of any alphabet have more. */
const FEWEST_CHARACTERS = 8;

/** A new token of 256 random bits, safe in environments, files and command lines of ssh. */
export function makeToken(): string {
  return randomBytes(32).toString('base64url');
}

export function makeNonce(): Uint8Array {
  return new Uint8Array(randomBytes(NONCE_BYTES));
}

/**
 * The token that guards connections to `host`: as given, without a line end behind it.
 *
 * @param where the option, variable or file that it comes from, for messages. The token itself is in no message.
 * @returns undefined where none was given and none is needed: on loopback.
 * @throws E_OPTION for a token that could be guessed, and for none beyond loopback.
 */
export function checkToken(token: string | undefined, host: string, where = 'option token'): string | undefined {
  const fix = 'set LOCKSTEP_TOKEN, or give a file, the same on every node; `openssl rand -hex 32` makes one';
  if (token === undefined) {
    if (isLoopback(host)) return undefined;
    const expected = `a token, for ${host} is not this machine's loopback`;
    throw new LockstepError('E_OPTION', { where, expected, got: 'none', fix });
  }
  const trimmed = token.replace(/\r?\n$/, '');
  const expected = `${SHORTEST_TOKEN} to ${LONGEST_TOKEN} printable characters without spaces that nobody can guess`;
  const refuse = (got: string) => new LockstepError('E_OPTION', { where, expected, got, fix });
  if (trimmed.length < SHORTEST_TOKEN || trimmed.length > LONGEST_TOKEN) throw refuse(`${trimmed.length} characters`);
  if (!/^[!-~]+$/.test(trimmed)) throw refuse('a space or another character that does not print');
  const different = new Set(trimmed).size;
  if (different < FEWEST_CHARACTERS) throw refuse(`${different} different characters`);
  return trimmed;
}

/**
 * Our proof for a connection: HMAC-SHA256 under the token. Without a token (loopback only) the key is empty: the proof then tells a
 * peer that has one from a peer that has none, and keeps nobody out.
 *
 * @param theirNonce [NONCE_BYTES] what the peer sent. @param ourNonce [NONCE_BYTES] what we sent.
 * @returns [MAC_BYTES]
 */
export function answer(
  token: string | undefined,
  role: Role,
  protocol: string | number,
  theirNonce: Uint8Array,
  ourNonce: Uint8Array,
): Uint8Array {
  if (theirNonce.length !== NONCE_BYTES || ourNonce.length !== NONCE_BYTES) throw new RangeError('nonce: wrong length');
  const mac = createHmac('sha256', token ?? '');
  // Each text ends with a byte that it cannot hold, and the nonces have a fixed length: no two inputs are the same bytes.
  mac
    .update(`lockstep cluster\0${role}\0${String(protocol)}\0`)
    .update(theirNonce)
    .update(ourNonce);
  return new Uint8Array(mac.digest());
}

/**
 * Whether `mac` is the peer's proof, in time that does not depend on where it differs. False too for a nonce or proof of another
 * length, and for a peer that sends our own nonce back.
 *
 * @param role the peer's. @param ourNonce what we sent it. @param theirNonce what it sent us.
 */
export function verify(
  token: string | undefined,
  role: Role,
  protocol: string | number,
  ourNonce: Uint8Array,
  theirNonce: Uint8Array,
  mac: Uint8Array,
): boolean {
  if (theirNonce.length !== NONCE_BYTES || mac.length !== MAC_BYTES) return false;
  if (timingSafeEqual(ourNonce, theirNonce)) return false;
  return timingSafeEqual(answer(token, role, protocol, ourNonce, theirNonce), mac);
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8);
LOOPBACK.addAddress('::1', 'ipv6');

/** Whether a name or address, as in a URL or not, means this machine and nobody else can reach it. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (name === 'localhost' || name === 'localhost.') return true;
  const family = isIP(name);
  return family !== 0 && LOOPBACK.check(name, family === 6 ? 'ipv6' : 'ipv4');
}
