import { LockstepError } from '../../src/errors.ts';
import { Child, type ChildEnd, endsOf } from './child.ts';
import type { HostEntry } from './hosts.ts';
import { describeEnd } from './preflight.ts';
import type { Project } from './remote.ts';
import { type CommandLine, type SshOptions, sshCommand, sshScript } from './ssh.ts';

/** Not of the project: history, and what runs write. */
const EXCLUDED = ['.git', 'runs'];
const PREPARE =
  'mkdir -p -- "$1" || exit 1; if command -v rsync >/dev/null 2>&1; then echo "@lockstep rsync"; else echo "@lockstep tar"; fi';

/**
 * Copies the project to a host: by rsync where both have it, else by tar. Nothing is deleted there.
 *
 * @throws E_LAUNCH that names the host.
 */
export async function syncProject(
  entry: HostEntry,
  project: Project,
  ssh: SshOptions,
  signal?: AbortSignal,
): Promise<'rsync' | 'tar'> {
  const words = [project.remoteFolder];
  const prepared = await run(entry, sshScript(entry.host, ssh, PREPARE, words), signal);
  const both = prepared.includes('@lockstep rsync') && (await hasRsync());
  if (both) await run(entry, rsyncCommand(entry.host, project, ssh), signal);
  else await pipe(entry, tarCommand(project), sshScript(entry.host, ssh, 'exec tar -xzf - -C "$1"', words), signal);
  return both ? 'rsync' : 'tar';
}

export function rsyncCommand(host: string, project: Project, ssh: SshOptions): CommandLine {
  const { program, args } = sshCommand(ssh);
  const address = host.includes(':') ? host.replace(/([^@]*)$/, '[$1]') : host;
  return {
    program: 'rsync',
    args: [
      '-az',
      '--protect-args', // the remote shell must not expand the folder
      ...EXCLUDED.map((name) => `--exclude=/${name}`),
      '-e',
      [program, ...args].map(rsyncWord).join(' '),
      '--',
      `${project.folder}/`,
      `${address}:${project.remoteFolder}/`,
    ],
  };
}

/** As rsync splits the argument of -e: a quote in quotes is doubled. */
function rsyncWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "''")}'`;
}

export function tarCommand({ folder }: Project): CommandLine {
  return { program: 'tar', args: ['-czf', '-', '-C', folder, ...EXCLUDED.map((name) => `--exclude=./${name}`), '.'] };
}

async function hasRsync(): Promise<boolean> {
  const child = new Child({ program: 'rsync', args: ['--version'] });
  child.closeInput();
  return (await child.ended).code === 0;
}

async function run(entry: HostEntry, command: CommandLine, signal?: AbortSignal): Promise<string[]> {
  const stdout: string[] = [];
  let last = '';
  const child = new Child(command, {
    onLine: (line, stream) => {
      if (stream === 'stdout') stdout.push(line);
      else last = line;
    },
  });
  child.closeInput();
  check(entry, await endsOf([child], signal), () => last);
  return stdout;
}

async function pipe(entry: HostEntry, from: CommandLine, to: CommandLine, signal?: AbortSignal): Promise<void> {
  let last = '';
  const onLine = (line: string, stream: 'stdout' | 'stderr') => {
    if (stream === 'stderr') last = line;
  };
  const target = new Child(to, { onLine });
  const source = new Child(from, { onLine, pipeTo: target });
  check(entry, await endsOf([target, source], signal), () => last);
}

function check(entry: HostEntry, ends: readonly ChildEnd[], last: () => string): void {
  const failed = ends.find(({ code }) => code !== 0);
  if (!failed) return;
  throw new LockstepError('E_LAUNCH', {
    where: entry.name,
    expected: 'to copy the project there',
    got: describeEnd(failed, last() || undefined),
    fix: 'look at room and rights of the folder (--remote-dir names another)',
  });
}
