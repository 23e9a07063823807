/** How each contestant is started, and what to install when it is not there. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../root.ts';
import type { GemmName, PeerContestant, PeerName } from './contestants.ts';
import type { PeerCommand } from './protocol.ts';

const path = (name: string) => fileURLToPath(new URL(`scripts/bench/${name}`, ROOT));

/** Debian's own interpreter has Debian's PyTorch; another python on the PATH has not. */
export const PYTHON =
  process.env.LOCKSTEP_BENCH_PYTHON ?? (existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3');

const PACKAGES = { tfjs: '@tensorflow/tfjs-backend-wasm', 'jax-js': '@jax-js/jax' } as const;
const SCRIPTS = { tfjs: 'peers/tfjs_peer.js', 'jax-js': 'peers/jax_js_peer.js' } as const;

export function lockstepCommand(gemm: GemmName, nodeOptions: readonly string[] = []): PeerCommand {
  return script('lockstep', 'lockstep-peer', [], { LOCKSTEP_GEMM: gemm }, nodeOptions);
}

/**
 * One of our own scripts, compiled, in a process of its own: each process and thread that runs from the sources keeps a compiler beside
 * it, which takes a hundredth of a core as long as it lives.
 */
export function script(
  name: string,
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  nodeOptions: readonly string[] = [],
): PeerCommand {
  const compiled = fileURLToPath(new URL(`dist/scripts/bench/${file}.js`, ROOT));
  return { name, command: process.execPath, args: [...nodeOptions, compiled, ...args], env };
}

/** Threads a process as torchrun sets them; OPENBLAS_CORETYPE is inherited, so it is the same for all. */
export function torchCommand({ processes, threads }: Pick<PeerContestant, 'processes' | 'threads'>): PeerCommand {
  const count = String(threads);
  return {
    name: 'torch',
    command: PYTHON,
    args: [path('peers/torch_peer.py'), '--workers', String(processes)],
    env: { OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, MKL_NUM_THREADS: count },
  };
}

export function peerCommand(contestant: PeerContestant): PeerCommand {
  const { peer } = contestant;
  if (peer === 'torch') return torchCommand(contestant);
  return { name: peer, command: process.execPath, args: [path(SCRIPTS[peer])], env: {} };
}

/** What to do to have this peer; undefined if it is there. */
export function missingPeer(peer: PeerName): string | undefined {
  if (peer !== 'torch') {
    if (existsSync(path(`peers/node_modules/${PACKAGES[peer]}`))) return undefined;
    return 'not installed; `npm --prefix scripts/bench/peers install`';
  }
  try {
    execFileSync(PYTHON, ['-c', 'import torch'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return (
      `${PYTHON} has no torch; \`apt-get install --no-install-recommends python3-torch\` (Debian, Ubuntu), ` +
      'or LOCKSTEP_BENCH_PYTHON=python of an environment with PyTorch'
    );
  }
}
