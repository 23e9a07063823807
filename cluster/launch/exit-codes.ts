import type { ErrorCode } from '../../src/errors.ts';
import type { ChildEnd } from './child.ts';

/**
 * What a scheduler can tell from the end of a process of a run on several machines; numbers as in sysexits.h. Signals are 128 + their
 * number, as everywhere: 143 is preempted.
 */
export const EXIT_CODES = {
  done: 0,
  failed: 1,
  usage: 2,
  /** The same data would fail again. */
  data: 65,
  /** Too few nodes, or none that can be reached: the same command may succeed later. */
  retry: 75,
  /** The same job, options and hosts would fail again. */
  config: 78,
} as const;

const CONFIG: readonly ErrorCode[] = [
  'E_OPTION', 'E_SHAPE', 'E_DTYPE', 'E_MODEL', 'E_LOSS', 'E_JOB_LOAD', 'E_JOB', 'E_CUSTOM_CODE', 'E_MEMORY', 'E_KERNEL', 'E_RESUME', 'E_PLACE', 'E_LAUNCH',
  // A folder that another run uses, or a disk that is full, has to be seen to; another version of the protocol, too.
  'E_RUN_DIR', 'E_CHECKPOINT', 'E_REFUSED', 'E_FRAME',
]; // biome-ignore format: a table
const DATA: readonly ErrorCode[] = [
  'E_LABEL',
  'E_DATA_FORMAT',
  'E_DATA_VALUE',
  'E_DATA_MISSING',
  'E_DATA_EMPTY',
  'E_DATA_SOURCE',
];
const RETRY: readonly ErrorCode[] = ['E_UNREACHABLE', 'E_QUORUM', 'E_CONNECTION', 'E_LISTEN'];

/** The exit code for what a command has thrown. */
export function exitCodeOf(code: ErrorCode): number {
  if (CONFIG.includes(code)) return EXIT_CODES.config;
  if (DATA.includes(code)) return EXIT_CODES.data;
  if (RETRY.includes(code)) return EXIT_CODES.retry;
  return EXIT_CODES.failed;
}

/** Shells: no right to execute, no such program. */
const NO_PROGRAM = [126, 127];

/**
 * What the end of a node's process means for the run: it is done; it is lost, and others can go on; or whatever it failed at would fail
 * again, which whoever named the host should know at once.
 */
export function verdictOf({ code, error }: ChildEnd): 'done' | 'lost' | 'hopeless' {
  const { done, usage, data, config } = EXIT_CODES;
  if (code === done) return 'done';
  if (error || (code !== null && [usage, data, config, ...NO_PROGRAM].includes(code))) return 'hopeless';
  return 'lost';
}
