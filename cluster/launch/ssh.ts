import { shellCommand } from './shell.ts';

/** How hosts are reached; everything else is for ssh_config to say. */
export interface SshOptions {
  /** The program. Default 'ssh'. */
  readonly program?: string;
  /** A file in the place of ~/.ssh/config (ssh -F). */
  readonly config?: string;
}

/** A command line without a shell: program and arguments. */
export interface CommandLine {
  readonly program: string;
  readonly args: readonly string[];
}

/** A host that does not answer is told apart from a slow one after this. */
const CONNECT_SECONDS = 10;
/** A connection on which nothing comes back for ALIVE_SECONDS x ALIVE_COUNT is given up. */
const ALIVE_SECONDS = 15;
const ALIVE_COUNT = 3;

/** ssh without what it adds behind the options: for rsync, which names host and command itself. */
export function sshCommand({ program = 'ssh', config }: SshOptions): CommandLine {
  const settings = {
    // Several hosts at once, and standard input is ours: nobody could answer a question.
    BatchMode: 'yes',
    ConnectTimeout: String(CONNECT_SECONDS),
    ServerAliveInterval: String(ALIVE_SECONDS),
    ServerAliveCountMax: String(ALIVE_COUNT),
    // A connection of its own: a shared one would outlive the command, and keep its tunnel.
    ControlPath: 'none',
    ExitOnForwardFailure: 'yes',
    // It says at this level which port it was given.
    LogLevel: 'INFO',
  };
  const args = [...(config === undefined ? [] : ['-F', config]), '-T', '-a', '-x'];
  for (const [name, value] of Object.entries(settings)) args.push('-o', `${name}=${value}`);
  return { program, args };
}

/**
 * Runs a script on a host. With `tunnelTo`, a loopback port of the host leads to that loopback port here; the host chooses its
 * number, and ssh tells it on standard error (see `allocatedPort`).
 */
export function sshScript(
  host: string,
  ssh: SshOptions,
  script: string,
  words: readonly string[],
  tunnelTo?: number,
): CommandLine {
  const { program, args } = sshCommand(ssh);
  const tunnel = tunnelTo === undefined ? [] : ['-R', `127.0.0.1:0:127.0.0.1:${tunnelTo}`];
  return { program, args: [...args, ...tunnel, '--', host, shellCommand(script, words)] };
}

/** The port of the tunnel, of a line that ssh has written. */
export function allocatedPort(line: string): number | undefined {
  const port = /^Allocated port (\d+) for remote forward to 127\.0\.0\.1:\d+\s*$/.exec(line)?.[1];
  return port === undefined ? undefined : Number(port);
}
