import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, release, totalmem } from 'node:os';
import { chooseBackend } from '../kernels/backend.ts';
import { formatBytes } from '../parallel/arena.ts';
import type { Io } from './io.ts';
import { ownVersion, packageVersion } from './version.ts';

const DEPENDENCIES = ['commander', 'csv-parse', 'msgpackr', 'piscina', 'tsx', 'ws', 'zod'];
const OPTIONAL_DEPENDENCIES = ['koffi'];
/** What kernels choose by, of all that processors can do. */
const CPU_FLAGS =
  /^(sse4_2|avx|avx2|fma|avx512(f|dq|bw|vl|_bf16|_vnni|_fp16)|avx_vnni|amx_\w+|neon|asimd|asimdhp|sve2?)$/;
/** Variables that change what runs: ours, those of BLAS libraries, and Node's options. */
const VARIABLES = /^(LOCKSTEP|OPENBLAS|GOTO|MKL|BLIS|OMP|VECLIB)_|^(NODE_OPTIONS|UV_THREADPOOL_SIZE|LD_LIBRARY_PATH)$/;

/** A secret, in what is pasted into bug reports. */
const TOKEN = 'LOCKSTEP_TOKEN';

/** What a run on this machine has to work with. */
export interface Environment {
  readonly lockstep: string;
  readonly node: string;
  readonly v8: string;
  readonly platform: string;
  /** Release of the operating system's kernel. */
  readonly os: string;
  readonly cpu: string;
  /** Instruction sets that matter; empty where the system does not say. */
  readonly cpuFlags: readonly string[];
  /** Of the machine. */
  readonly processors: number;
  /** Cores that this process may use. */
  readonly cores: number;
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  /** What a container or a limit leaves of it; null without one. */
  readonly memoryLimitBytes: number | null;
  readonly gemm: string;
  readonly simd: string;
  /** Library, version and kernels of the system's BLAS, where one is used. */
  readonly blas: string | null;
  /** What to install or change for more speed. */
  readonly advice: string | null;
  readonly packages: Readonly<Record<string, string | null>>;
  readonly optionalPackages: Readonly<Record<string, string | null>>;
  /** LOCKSTEP_*, OPENBLAS_* and others that change what runs, as they were set. */
  readonly variables: Readonly<Record<string, string>>;
}

/** `lockstep env`: for bug reports, and to see whether the fast kernels are found. */
export function envCommand(options: { readonly json?: boolean }, io: Io): void {
  const environment = readEnvironment();
  if (options.json) io.out(JSON.stringify(environment));
  else for (const line of renderEnvironment(environment)) io.out(line);
}

function readEnvironment(): Environment {
  const variables = readVariables(); // first: choosing a backend sets some
  const backend = chooseBackend();
  const { blas } = backend;
  return {
    lockstep: ownVersion(),
    node: process.versions.node,
    v8: process.versions.v8,
    platform: `${process.platform}-${process.arch}`,
    os: release(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cpuFlags: readCpuFlags(),
    processors: cpus().length,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    freeMemoryBytes: freemem(),
    memoryLimitBytes: memoryLimit(),
    gemm: backend.gemm,
    simd: backend.simd,
    blas: blas ? [blas.library, blas.version, blas.core].filter(Boolean).join(' ') : null,
    advice: backend.advice ?? null,
    packages: versions(DEPENDENCIES),
    optionalPackages: versions(OPTIONAL_DEPENDENCIES),
    variables,
  };
}

function readVariables(): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      VARIABLES.test(name) && value !== undefined ? [[name, name === TOKEN ? '(set)' : value]] : [],
    ),
  );
}

function readCpuFlags(): string[] {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return line.split(' ').filter((flag) => CPU_FLAGS.test(flag));
  } catch {
    return []; // not Linux
  }
}

function memoryLimit(): number | null {
  const limit = process.constrainedMemory();
  return limit > 0 && limit < totalmem() ? limit : null;
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
    ['platform', `${e.platform} ${e.os}`],
    ['cpu', e.cpu],
    ...(e.cpuFlags.length > 0 ? [['flags', e.cpuFlags.join(' ')]] : []),
    ['cores', e.cores === e.processors ? String(e.cores) : `${e.cores} of ${e.processors}`],
    [
      'memory',
      `${formatBytes(e.memoryBytes)}, ${formatBytes(e.freeMemoryBytes)} free${e.memoryLimitBytes === null ? '' : `, limit ${formatBytes(e.memoryLimitBytes)}`}`,
    ],
    ['simd', e.simd],
    ['gemm', e.gemm],
    ['blas', e.blas ?? 'none'],
    ['packages', list(e.packages)],
    ['optional', list(e.optionalPackages)],
  ];
  const set = Object.entries(e.variables);
  rows.push(['variables', set.length === 0 ? 'none' : set.map(([name, value]) => `${name}=${value}`).join(' ')]);
  if (e.advice !== null) rows.push(['advice', e.advice]);
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
