import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';

const DAEMONS = { munged: '/usr/sbin/munged', slurmctld: '/usr/sbin/slurmctld', slurmd: '/usr/sbin/slurmd' };

/** slurmd starts tasks as their users: it must be root. */
export const hasSlurm =
  userInfo().uid === 0 && [...Object.values(DAEMONS), '/usr/bin/srun'].every((program) => existsSync(program));

/** A Slurm of this machine alone, with sockets, keys and state in a folder of its own, on free ports. */
export class Slurm {
  /** What clients of it need. */
  readonly env: NodeJS.ProcessEnv;
  readonly #folder: string;
  readonly #daemons: ChildProcess[] = [];

  static async start(): Promise<Slurm> {
    const slurm = new Slurm(mkdtempSync(join(tmpdir(), 'lockstep-slurm-')), await freePorts(2));
    try {
      await slurm.#begin();
    } catch (error) {
      await slurm.close();
      throw error;
    }
    return slurm;
  }

  private constructor(folder: string, [controller, node]: number[]) {
    this.#folder = folder;
    const host = hostname().replace(/\..*/, '');
    const file = (name: string) => join(folder, name);
    this.env = { ...process.env, SLURM_CONF: file('slurm.conf') };
    for (const name of ['state', 'spool']) mkdirSync(file(name));
    writeFileSync(file('key'), randomBytes(1024), { mode: 0o400 });
    writeFileSync(
      file('slurm.conf'),
      `ClusterName=test
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${controller}
SlurmdPort=${node}
SlurmUser=root
AuthInfo=socket=${file('munge')}
StateSaveLocation=${file('state')}
SlurmdSpoolDir=${file('spool')}
SlurmctldPidFile=${file('slurmctld.pid')}
SlurmdPidFile=${file('slurmd.pid')}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName=${host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=test Nodes=${host} Default=YES State=UP
`,
    );
  }

  /** Ends the daemons and what they have started; resolves when they are gone. */
  async close(): Promise<void> {
    spawnSync('scancel', ['--signal=KILL', '--user', userInfo().username], { env: this.env });
    const running = () => spawnSync('squeue', ['-h'], { env: this.env, encoding: 'utf8' }).stdout.trim();
    await until('every job to end', () => running() === '');
    for (const daemon of this.#daemons.reverse()) await ended(daemon);
    rmSync(this.#folder, { recursive: true });
  }

  async #begin(): Promise<void> {
    const file = (name: string) => join(this.#folder, name);
    this.#daemon(DAEMONS.munged, [
      ...['--foreground', '--force', `--key-file=${file('key')}`, `--socket=${file('munge')}`],
      ...[`--pid-file=${file('munge.pid')}`, `--log-file=${file('munge.log')}`, `--seed-file=${file('munge.seed')}`],
    ]);
    await until('munged to answer', () => spawnSync('munge', ['-S', file('munge'), '-n']).status === 0);
    this.#daemon(DAEMONS.slurmctld, ['-D']);
    this.#daemon(DAEMONS.slurmd, ['-D']);
    await until('slurmd to answer', () => {
      const { stdout } = spawnSync('sinfo', ['-h', '-o', '%T'], { env: this.env, encoding: 'utf8' });
      return stdout.trim() === 'idle';
    });
  }

  #daemon(program: string, args: readonly string[]): void {
    this.#daemons.push(spawn(program, args, { env: this.env, stdio: 'ignore' }));
  }
}

async function ended(daemon: ChildProcess): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  await new Promise((resolve) => {
    daemon.once('close', resolve);
    daemon.kill();
  });
}

/** Daemons say nothing when they are ready: they are asked. */
async function until(what: string, ready: () => boolean): Promise<void> {
  const end = performance.now() + 30_000;
  while (!ready()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  return ports;
}

/** Whether a program is on the PATH. */
export function has(program: string): boolean {
  try {
    execFileSync('which', [program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
