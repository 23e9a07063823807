import { availableParallelism, cpus, totalmem } from 'node:os';
import { chooseBackend } from '../kernels/backend.ts';
import { formatBytes } from '../parallel/arena.ts';
import type { Io } from './io.ts';
import { ownVersion, packageVersion } from './version.ts';

const DEPENDENCIES = ['commander', 'csv-parse', 'msgpackr', 'piscina', 'tsx', 'ws', 'zod'];
const OPTIONAL_DEPENDENCIES = ['koffi'];

/** What a run on this machine has to work with. */
export interface Environment {
  readonly lockstep: string;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
  readonly cpu: string;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly gemm: string;
  readonly simd: string;
  /** Library, version and kernels of the system's BLAS, where one is used. */
  readonly blas: string | null;
  /** What to install or change for more speed. */
  readonly advice: string | null;
  readonly packages: Readonly<Record<string, string | null>>;
  readonly optionalPackages: Readonly<Record<string, string | null>>;
}

/** `lockstep env`: for bug reports, and to see whether the fast kernels are found. */
export function envCommand(options: { readonly json?: boolean }, io: Io): void {
  const environment = readEnvironment();
  if (options.json) io.out(JSON.stringify(environment));
  else for (const line of renderEnvironment(environment)) io.out(line);
}

function readEnvironment(): Environment {
  const backend = chooseBackend();
  const { blas } = backend;
  return {
    lockstep: ownVersion(),
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    gemm: backend.gemm,
    simd: backend.simd,
    blas: blas ? [blas.library, blas.version, blas.core].filter(Boolean).join(' ') : null,
    advice: backend.advice ?? null,
    packages: versions(DEPENDENCIES),
    optionalPackages: versions(OPTIONAL_DEPENDENCIES),
  };
}

function versions(names: readonly string[]): Record<string, string | null> {
  return Object.fromEntries(names.map((name) => [name, packageVersion(name) ?? null]));
}

/** Pure. */
export function renderEnvironment(e: Environment): string[] {
  const list = (packages: Readonly<Record<string, string | null>>) =>
    Object.entries(packages)
      .map(([name, version]) => `${name} ${version ?? 'not installed'}`)
      .join(', ');
  const rows = [
    ['lockstep', e.lockstep],
    ['node', `${e.node} (v8 ${e.v8})`],
    ['platform', e.platform],
    ['cpu', e.cpu],
    ['cores', String(e.cores)],
    ['memory', formatBytes(e.memoryBytes)],
    ['simd', e.simd],
    ['gemm', e.gemm],
    ['blas', e.blas ?? 'none'],
    ['packages', list(e.packages)],
    ['optional', list(e.optionalPackages)],
  ];
  if (e.advice !== null) rows.push(['advice', e.advice]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
