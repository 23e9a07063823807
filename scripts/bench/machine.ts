import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';

/** Where the figures come from; printed with them. */
export interface MachineBlock {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  readonly node: string;
  readonly date: string;
  /** 1-minute load average before the first round. */
  readonly loadBefore: number;
  /** Largest share of the cores that others used while every contestant was idle. */
  busyElsewhere: number;
  /** Instruction sets and library of each GEMM that ran, by name. */
  readonly kernels: Record<string, string>;
  /** GFLOP/s of one thread, 1024 x 1024 x 1024, in this run. */
  readonly gemmGflops: Record<string, number>;
  /** Versions of the peers that ran. */
  readonly peers: Record<string, string>;
  readonly warnings: string[];
}

/** Share of the cores in use above which figures of this run are doubtful. */
const BUSY_LIMIT = 0.1;

export function describeMachine(): MachineBlock {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    date: new Date().toISOString(),
    loadBefore: loadavg()[0],
    busyElsewhere: 0,
    kernels: {},
    gemmGflops: {},
    peers: {},
    warnings: [],
  };
}

/** Looks for `ms` what others do while we do nothing. */
export async function watchOthers(machine: MachineBlock, ms: number): Promise<void> {
  const before = cpuTimes();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = cpuTimes();
  const total = after.total - before.total;
  if (total > 0) machine.busyElsewhere = Math.max(machine.busyElsewhere, (after.busy - before.busy) / total);
}

export function warnIfLoaded(machine: MachineBlock): void {
  if (machine.busyElsewhere > BUSY_LIMIT) {
    const share = Math.round(100 * machine.busyElsewhere);
    machine.warnings.push(`loaded machine: others used up to ${share} % of the cores between rounds; measure again`);
  }
}

function cpuTimes(): { busy: number; total: number } {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    busy += times.user + times.nice + times.sys + times.irq;
    total += times.user + times.nice + times.sys + times.irq + times.idle;
  }
  return { busy, total };
}

/**
 * PyTorch's name with the version of its package and distribution, which `torch.__version__` tells only roughly
 * (Debian's 1.13.1 calls itself 1.13.0a0).
 */
export function torchName(ownVersion: string): string {
  try {
    const format = `$${'{Version}'}`; // for dpkg, not for us
    const version = execFileSync('dpkg-query', ['-W', '-f', format, 'python3-torch'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const release = readFileSync('/etc/os-release', 'utf8');
    const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)`, 'm').exec(release)?.[1] ?? '';
    const system = `${field('ID')} ${field('VERSION_ID')}`.replace(/^d/, 'D');
    return `PyTorch ${version.split('+')[0]}, ${system} (package ${version})`;
  } catch {
    return `PyTorch ${ownVersion}`;
  }
}
