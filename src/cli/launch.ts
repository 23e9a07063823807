import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type HostEntry, parseHosts, parseHostsFile } from '../../cluster/launch/hosts.ts';
import { type LaunchOptions, launch } from '../../cluster/launch/launch.ts';
import { invocation, jobInProject } from '../../cluster/launch/remote.ts';
import { makeToken } from '../../cluster/security.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import { LockstepError } from '../errors.ts';
import type { Job } from '../train/job.ts';
import type { TrainOptions } from '../train/options.ts';
import { type ClusterCommandOptions, coordinatorOptions, nodeWords } from './cluster-options.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { ownIdentity } from './node.ts';
import { showNodes } from './node-table.ts';
import { jobWords } from './options.ts';
import { resumeAsGiven, type TrainCommandOptions, trainLoaded } from './train.ts';

export interface LaunchCommandOptions extends TrainCommandOptions, ClusterCommandOptions {
  readonly hosts?: string;
  readonly hostsFile?: string;
  readonly sync?: boolean;
  readonly remoteDir?: string;
  readonly remoteNode: string;
  readonly sshConfig?: string;
  readonly preflight: boolean;
  readonly graceMs: number;
}

/** Milliseconds that a node has after it was stopped, and again after SIGTERM. */
const TERM_MS = 5_000;

/** `lockstep launch <job>`: a coordinator here, a node on every host. */
export async function launchCommand(
  path: string,
  options: LaunchCommandOptions,
  io: Io,
  args: readonly string[],
): Promise<void> {
  const hosts = hostsOf(options);
  const program = ownProgram(options.remoteNode, options.remoteDir);
  const job = hosts.every(({ local }) => local) ? path : jobInProject(program.project.folder, path);
  const { runCoordinator } = await import('../../cluster/index.ts');
  const loaded = await loadJob(path);
  const token = makeToken();
  const train = (of: Job, run: TrainOptions, page: Dashboard | undefined) => {
    const note = (text: string) => run.onProgress?.({ kind: 'note', text });
    const launched: LaunchOptions = {
      hosts,
      ...program,
      jobWords: [job, ...jobWords(options), ...nodeWords(options)],
      ssh: options.sshConfig === undefined ? {} : { config: resolve(options.sshConfig) },
      token,
      alone: true,
      mixed: options.mixed === true,
      sync: options.sync === true,
      ...(options.preflight ? { preflight: () => ownIdentity(loaded, options, io.stop) } : {}),
      deadlines: { graceMs: options.graceMs, termMs: TERM_MS },
      signal: io.stop,
      onLine: (from, line) => run.onProgress?.({ kind: 'output', from, line }),
      onNote: note,
    };
    return launch(launched, ({ signal, onListening }) =>
      runCoordinator(of, {
        ...run,
        startNodes: Math.max(hosts.length, options.minNodes ?? 1),
        ...coordinatorOptions(options),
        host: '127.0.0.1',
        port: 0,
        token,
        signal,
        onListening,
        ...(page && showNodes(page)),
      }),
    );
  };
  await trainLoaded(train, loaded, path, options, io, (runDir) => resumeAsGiven(args, runDir));
}

/** This program, here and on hosts, in the current folder. */
export function ownProgram(remoteNode: string, remoteFolder?: string): Pick<LaunchOptions, 'project' | 'invocation'> {
  const folder = process.cwd();
  const main = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? './main.ts' : './main.js', import.meta.url));
  return {
    project: { folder, remoteFolder: remoteFolder ?? folder },
    invocation: invocation(folder, { node: process.execPath, flags: process.execArgv, main, remoteNode }),
  };
}

function hostsOf({ hosts, hostsFile }: LaunchCommandOptions): HostEntry[] {
  if (hosts !== undefined && hostsFile === undefined) return parseHosts(hosts);
  if (hostsFile !== undefined && hosts === undefined) return parseHostsFile(readHosts(hostsFile), hostsFile);
  throw new LockstepError('E_OPTION', {
    where: 'lockstep launch',
    expected: 'hosts, by --hosts or --hosts-file',
    got: hosts === undefined ? 'neither' : 'both',
    fix: 'for example -H host1:4,host2:8',
  });
}

function readHosts(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new LockstepError('E_OPTION', {
      where: '--hosts-file',
      expected: 'a file that can be read',
      got: error instanceof Error ? error.message : String(error),
      fix: 'check path and rights',
      cause: error,
    });
  }
}
