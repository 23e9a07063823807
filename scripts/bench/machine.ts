import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describeMachine as describe, type MachineBlock as Machine } from '../../src/scaling/machine.ts';

export { coreDistanceText, warnIfCoresMoved, warnIfLoaded, watchOthers } from '../../src/scaling/machine.ts';

/** Where the figures come from; printed with them. */
export interface MachineBlock extends Machine {
  /** Versions of the peers that ran. */
  readonly peers: Record<string, string>;
}

export function describeMachine(): MachineBlock {
  return { ...describe(), peers: {} };
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
