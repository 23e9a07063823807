import { readFileSync, statSync } from 'node:fs';
import { LockstepError } from '../errors.ts';

/** Far more than any token has. */
const LONGEST_FILE = 4096;

/** A token and where it came from, for messages: `checkToken` says what is wrong with it. */
export interface GivenToken {
  readonly token: string | undefined;
  readonly where: string;
}

/**
 * The token of the cluster: from `--token-file`, else from LOCKSTEP_TOKEN, else from the file that LOCKSTEP_TOKEN_FILE names. Never from
 * an argument, for those of every process are open to every user of the machine.
 */
export function givenToken(file: string | undefined, env: Readonly<Record<string, string | undefined>>): GivenToken {
  if (file !== undefined) return fromFile(file, 'option --token-file');
  const { LOCKSTEP_TOKEN: token, LOCKSTEP_TOKEN_FILE: named } = env;
  if (token) return { token, where: 'LOCKSTEP_TOKEN' };
  if (named) return fromFile(named, 'LOCKSTEP_TOKEN_FILE');
  return { token: undefined, where: 'LOCKSTEP_TOKEN' };
}

function fromFile(path: string, where: string): GivenToken {
  let got: string;
  let cause: unknown;
  try {
    const stat = statSync(path); // may be a pipe of the shell
    if (!stat.isDirectory() && stat.size <= LONGEST_FILE)
      return { token: readFileSync(path, 'utf8'), where: `${where} ${path}` };
    got = stat.isDirectory() ? `${path}, a folder` : `${path} of ${stat.size} bytes`;
  } catch (error) {
    cause = error;
    got = error instanceof Error ? error.message : String(error);
  }
  const expected = 'a file that holds the token and nothing else';
  throw new LockstepError('E_OPTION', {
    where,
    expected,
    got,
    fix: 'name the file that was made on the coordinator',
    cause,
  });
}
