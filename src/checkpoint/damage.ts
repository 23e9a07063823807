import { LockstepError } from '../errors.ts';

/** E_CHECKPOINT: stored bytes are not what they should be. `where` names the file and the place in it. */
export function damaged(where: string, expected: string, got: string, cause?: unknown): LockstepError {
  return new LockstepError('E_CHECKPOINT', {
    where,
    expected,
    got,
    fix: 'the file is damaged or was not written by Lockstep: use another checkpoint',
    cause,
  });
}

/** A text from an untrusted file as messages show it: short, and without characters that move the cursor. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
