import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** A job as a project that is built has it: the processes of most tests need not transform TypeScript first. */
export const SMALL_JOB = 'dist/test/fixtures/small-job.js';
export const SMALL_JOB_SOURCE = 'test/fixtures/small-job.ts';

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs the command as it is installed, in the folder of the checkout or in `cwd`. `onStderr` gets what was printed so far and may send
 * signals. `fileKiB`: no file that it writes can grow larger, as if the disk were full. `uid`: as that user. `stdout`: where
 * standard output goes instead. `sources`: those of the checkout, through tsx, as `npm run lockstep` does.
 */
export function runCli(
  args: readonly string[],
  options: {
    cwd?: string;
    env?: NodeJS.ProcessEnv;
    onStderr?: (text: string, child: ChildProcess) => void;
    fileKiB?: number;
    uid?: number;
    stdout?: string;
    sources?: boolean;
  } = {},
): Promise<CliResult> {
  const fromSources = [
    '--conditions=lockstep-source',
    '--import',
    import.meta.resolve('tsx'),
    join(root, 'src/cli/main.ts'),
  ];
  const main = options.sources ? fromSources : [join(root, 'dist/src/cli/main.js')];
  const command = [process.execPath, ...main, ...args];
  const limit = options.fileKiB === undefined ? '' : `ulimit -f ${2 * options.fileKiB}; `; // in blocks of 512 bytes
  const child = spawn(
    'sh',
    ['-c', `${limit}exec "$@"${options.stdout === undefined ? '' : ` > ${options.stdout}`}`, 'sh', ...command],
    {
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    options.onStderr?.(stderr, child);
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}
