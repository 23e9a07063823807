import type { ConnectionEnd } from './connection.ts';
import { dial } from './dial.ts';
import { hex, PROTOCOL, readFromCoordinator } from './messages.ts';
import { connectionLost, defaultName, ended, hostOf, impostor, refused } from './node-errors.ts';
import type { NodeOptions } from './options.ts';
import { answer, checkToken, makeNonce, verify } from './security.ts';
import { placeRowsIn, readDescription } from './stream-data.ts';

/** Longest description of data, and longest message of its rows. */
const LONGEST = 64 << 20;

/**
 * Asks a coordinator for what its data looks like, and for the rows by which a node proves itself, which are then in it.
 *
 * @throws E_REFUSED from a coordinator that sends no data; E_CONNECTION.
 */
export async function fetchDescription(options: NodeOptions): Promise<ReturnType<typeof readDescription>> {
  const { url, tls, signal, name = defaultName() } = options;
  const token = checkToken(options.token, hostOf(url));
  const nonce = makeNonce();
  let challenge: Uint8Array | undefined;
  let described: ReturnType<typeof readDescription> | undefined;
  let failure: unknown;
  let end: (how: ConnectionEnd) => void = () => undefined;
  const over = new Promise<ConnectionEnd>((resolve) => {
    end = resolve;
  });
  await dial(url, {
    maxPayload: LONGEST,
    ...(tls?.ca !== undefined && { ca: Buffer.from(tls.ca) }),
    ...(signal && { signal }),
    token,
    localSocket: options.localSocket,
    onMessage(frame, peer) {
      const message = readFromCoordinator(frame);
      if (message.type === 'challenge') {
        challenge = message.nonce;
        const mac = hex(answer(token, 'node', PROTOCOL, challenge, nonce));
        const hello = {
          type: 'hello',
          protocol: PROTOCOL,
          name,
          workers: 0,
          wants: 'description',
          nonce: hex(nonce),
          mac,
        };
        void peer.send(hello, [new Uint8Array(0)]);
      } else if (message.type === 'refuse') failure = refused(message);
      else if (message.type === 'stop') failure = ended(url, message.reason);
      else if (message.type === 'description') {
        const proved = challenge && verify(token, 'coordinator', PROTOCOL, nonce, challenge, message.mac);
        if (proved) described = readDescription(message.regions[0]);
        else failure = impostor(url);
      } else if (message.type === 'data' && described) placeRowsIn(described.data, message.regions);
    },
    onClose: (how) => end(how),
  });
  const how = await over;
  if (failure) throw failure;
  if (!described) throw connectionLost(how);
  return described;
}
