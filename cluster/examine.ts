import { fromExactJson } from '../src/checkpoint/exact-json.ts';
import { LockstepError } from '../src/errors.ts';
import { type Identity, identityDifference } from '../src/train/identity.ts';
import { FrameError } from './frames.ts';
import { type Message, type Of, PROTOCOL, type ToCoordinator } from './messages.ts';
import { verify } from './security.ts';

/** What to do about a difference. */
export const REMEDIES: Readonly<Record<keyof Identity, string>> = {
  lockstep: 'install the same version of Lockstep on all machines',
  data: 'give all nodes the same files, and the job the same seed and splits',
  program: 'run the same job, with the same options, on all nodes',
  kernels: "use the same BLAS and Node on all nodes, set deterministic: 'portable', or admit other bits with --mixed",
  proof: "the processors round differently: set deterministic: 'portable', or admit other bits with --mixed",
};

/**
 * Why a peer may not take part, naming the first difference; undefined if it may. It must know the token, and compute the same job: then
 * the bytes do not depend on who computes what.
 *
 * @param nonce what it was challenged with.
 * @throws FrameError for an identity that is none.
 */
export function examine(
  hello: Message<Of<ToCoordinator, 'hello'>>,
  nonce: Uint8Array,
  {
    token,
    identity,
    mixed,
    streamsData,
    localSteps,
  }: {
    readonly token: string | undefined;
    readonly identity: Identity;
    readonly mixed: boolean;
    readonly streamsData: boolean;
    /** Nodes make steps by themselves. */
    readonly localSteps: boolean;
  },
): LockstepError | undefined {
  if (hello.protocol !== PROTOCOL) {
    return refusal(`node ${hello.name}`, `protocol ${PROTOCOL}`, `protocol ${hello.protocol}`, REMEDIES.lockstep);
  }
  if (!verify(token, 'node', PROTOCOL, nonce, hello.nonce, hello.mac)) {
    const fix = 'give LOCKSTEP_TOKEN the same value on all nodes';
    return refusal(`node ${hello.name}`, 'proof of the token of this run', 'another token, or none', fix);
  }
  if (hello.wants !== 'part' && !streamsData) {
    const fix = 'give the node the data, or start the coordinator with --stream-data';
    return refusal(`node ${hello.name}`, 'a node that has the data', 'one that asks for it', fix);
  }
  if (hello.wants === 'description') return undefined;
  const found = identityDifference(identity, readIdentity(hello.regions[0]), mixed, localSteps);
  return found && refusal(found.path, `${found.ours} as on the coordinator`, found.theirs, REMEDIES[found.what]);
}

function readIdentity(bytes: Uint8Array): Identity {
  try {
    return fromExactJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Identity;
  } catch {
    throw new FrameError(0, 'an identity in JSON', 'something else');
  }
}

function refusal(where: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_REFUSED', { where, expected, got, fix });
}
