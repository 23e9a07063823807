import { fromExactJson, toExactJson } from '../../src/checkpoint/exact-json.ts';
import { LockstepError } from '../../src/errors.ts';
import { type Identity, identityDifference } from '../../src/train/identity.ts';
import { REMEDIES } from '../examine.ts';
import { Child, type ChildEnd, endsOf } from './child.ts';
import type { HostEntry } from './hosts.ts';
import type { Invocation, Project } from './remote.ts';
import { type SshOptions, sshScript } from './ssh.ts';

/** What `lockstep node - --preflight` prints, as one line: what a node must have in common with the coordinator. */
export function encodeIdentity(identity: Identity): string {
  return `${MARK}${toExactJson(identity)}`;
}

/** Tells our lines from those of profiles of shells. */
const MARK = '@lockstep ';

/** $1 the project, $2 Node, the rest the command. */
const SCRIPT = [
  'cd -- "$1" 2>/dev/null || { echo "@lockstep no-folder"; exit 0; }',
  'shift',
  'command -v "$1" >/dev/null 2>&1 || { echo "@lockstep no-node"; exit 0; }',
  'echo "@lockstep node $("$1" --version)"',
  'exec "$@"',
].join('; ');
/** ssh ends with it when it is ssh that failed. */
const SSH_FAILED = 255;
/** A job whose data are large takes long to compile on a slow host, but not longer. */
const ANSWER_MS = 300_000;
const OLDEST_NODE = [20, 19] as const;

export interface PreflightOptions {
  readonly project: Project;
  readonly invocation: Invocation;
  /** The job, and the options that change it. */
  readonly jobWords: readonly string[];
  /** Admit other kernels. */
  readonly mixed: boolean;
  readonly ssh: SshOptions;
  readonly signal?: AbortSignal;
}

/**
 * Asks a host for what a run needs of it: that it can be reached, has the project, Node and lockstep, and compiles the same program.
 *
 * @throws E_UNREACHABLE, or E_LAUNCH that names the host and what is missing there.
 */
export async function preflight(entry: HostEntry, options: PreflightOptions, own: Promise<Identity>): Promise<void> {
  const words = [
    options.project.remoteFolder,
    ...options.invocation.there,
    'node',
    '-',
    '--preflight',
    ...options.jobWords,
  ];
  const said: Said = { stdout: [], stderr: [] };
  const child = new Child(sshScript(entry.host, options.ssh, SCRIPT, words), {
    onLine: (line, stream) => said[stream].push(line),
  });
  child.closeInput();
  const late = AbortSignal.timeout(ANSWER_MS);
  const ends = await endsOf([child], options.signal ? AbortSignal.any([options.signal, late]) : late).catch((error) => {
    if (options.signal?.aborted) throw error;
    return [];
  });
  if (ends.length === 0) throw unreachable(entry.name, `no answer for ${ANSWER_MS / 1000} s`);
  checkAnswer(entry.name, options, said, ends[0], await own);
}

export interface Said {
  readonly stdout: string[];
  readonly stderr: string[];
}

/** Pure. */
export function checkAnswer(
  host: string,
  { project, mixed }: Pick<PreflightOptions, 'project' | 'mixed'>,
  said: Said,
  end: ChildEnd,
  own: Identity,
): void {
  const marks = said.stdout.flatMap((line) => (line.startsWith(MARK) ? [line.slice(MARK.length)] : []));
  const last = said.stderr.filter((line) => line.trim() !== '').at(-1) ?? said.stdout.at(-1) ?? 'no answer';
  if (end.error) throw unreachable(host, end.error.message);
  if (marks.length === 0 && end.code !== 0)
    throw unreachable(host, end.code === SSH_FAILED ? last : describeEnd(end, last));
  if (marks.includes('no-folder')) {
    const fix = 'copy it with --sync, or say with --remote-dir where it is';
    throw bad(host, `the project in ${project.remoteFolder}`, 'no such folder', fix);
  }
  const fix = 'install it there, or say with --remote-node where it is';
  if (marks.includes('no-node')) throw bad(host, 'Node.js', 'none', fix);
  const version = marks.find((mark) => mark.startsWith('node '))?.slice('node '.length) ?? '';
  if (!isSupported(version)) {
    throw bad(host, `Node ${OLDEST_NODE.join('.')} or later`, version === '' ? 'none that runs' : version, fix);
  }
  const identity = end.code === 0 ? readIdentity(marks.at(-1) ?? '') : undefined;
  if (!identity) throw bad(host, 'a job that compiles', last, 'mend it there; --sync copies the project');
  const found = identityDifference(own, identity, mixed);
  if (found) throw bad(`${host}, ${found.path}`, `${found.ours} as here`, found.theirs, REMEDIES[found.what]);
}

function readIdentity(line: string): Identity | undefined {
  try {
    return fromExactJson(line) as Identity;
  } catch {
    return undefined;
  }
}

function isSupported(version: string): boolean {
  const [, major = '0', minor = '0'] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  const [oldest, oldestMinor] = OLDEST_NODE;
  return Number(major) > oldest || (Number(major) === oldest && Number(minor) >= oldestMinor);
}

/** For messages. */
export function describeEnd({ code, signal, error }: ChildEnd, last?: string): string {
  const how = error?.message ?? (signal === null ? `exit code ${code}` : signal);
  return last === undefined ? how : `${how}: ${last}`;
}

function unreachable(host: string, got: string): LockstepError {
  const fix = `try: ssh ${host} true (without a password: ssh-copy-id)`;
  return new LockstepError('E_UNREACHABLE', { where: host, expected: 'a host that ssh reaches', got, fix });
}

function bad(host: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_LAUNCH', { where: host, expected, got, fix });
}
