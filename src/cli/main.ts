#!/usr/bin/env node
/** The command `lockstep`: the only file that prints and ends the process. */
import { once } from 'node:events';
import { EXIT_CODES, exitCodeOf } from '../../cluster/launch/exit-codes.ts';
import { LockstepError } from '../errors.ts';
import { readCommandLine } from './commands.ts';
import { isLockstepError } from './load-job.ts';
import { UsageError } from './usage.ts';
import { ownVersion } from './version.ts';

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const stop = new AbortController();
let stoppedBy: keyof typeof SIGNALS | undefined;
let stoppedAtMs = 0;
/** A terminal sends Ctrl-C to the whole group and npm passes it on: what follows this soon is the same key press. */
const SAME_PRESS_MS = 500;
let verbose = Boolean(process.env.LOCKSTEP_DEBUG);
/** A scheduler wants to know what kind of failure it was. */
let scheduled = false;
/** It only looks at what others do. */
let leaves = false;

for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stoppedBy !== undefined) {
      if (performance.now() - stoppedAtMs > SAME_PRESS_MS) kill(name);
      return;
    }
    stoppedBy = name;
    stoppedAtMs = performance.now();
    if (!leaves) process.stderr.write('stopping after the step in progress; once more kills\n');
    stop.abort();
  });
}
// A reader that went away (`| head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(stoppedBy ? SIGNALS[stoppedBy] : 0);
    throw stream === process.stdout ? noOutput(error) : error;
  });
}
// A job may throw long after its import, in a callback or a stream of its own.
process.on('uncaughtException', (error) => end(fail(error)));
// Nothing is left to wait for, but the command is not done: a promise in the job never settles.
process.on('beforeExit', () => end(fail(stuck())));

run().then(end, (error: unknown) => end(fail(error)));

async function run(): Promise<number> {
  const request = readCommandLine(process.argv.slice(2), ownVersion());
  if (request.kind === 'text') {
    process.stdout.write(request.text);
    return 0;
  }
  verbose ||= request.verbose;
  scheduled = request.scheduled;
  leaves = request.leaves;
  const out = (line: string) => {
    process.stdout.write(`${line}\n`);
  };
  const write = async (text: string) => {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  };
  await request.run({ out, write, progress: process.stderr, input: process.stdin, stop: stop.signal });
  return stoppedBy === undefined ? 0 : SIGNALS[stoppedBy];
}

/** Prints what went wrong as one line, `error E_CODE: message`, and gives the exit code. */
function fail(error: unknown): number {
  if (stoppedBy !== undefined && !(isLockstepError(error) && error.code !== 'E_ABORTED')) return SIGNALS[stoppedBy];
  const known = isLockstepError(error);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(known ? `error ${error.code}: ${message}\n` : `error: ${message}\n`);
  if (verbose) printStacks(error);
  else if (!known)
    process.stderr.write('this is not an error that lockstep knows; --verbose shows where it comes from\n');
  if (error instanceof UsageError) return EXIT_CODES.usage;
  return known && scheduled ? exitCodeOf(error.code) : EXIT_CODES.failed;
}

function printStacks(error: unknown): void {
  for (let e = error; e instanceof Error; e = e.cause) process.stderr.write(`${e.stack ?? e.message}\n`);
}

function stuck(): LockstepError {
  return new LockstepError('E_JOB_LOAD', {
    where: process.argv.slice(2).join(' '),
    expected: 'a job that loads',
    got: 'a promise that never settles',
    fix: 'look for an await in the job that waits for nothing',
  });
}

/** Ends the process when everything printed has left it, whatever the job still keeps open. */
function end(code: number): void {
  process.stdout.write('', (error) => {
    const lost = error && code === 0 && Reflect.get(error, 'code') !== 'EPIPE';
    const final = lost ? fail(noOutput(error)) : code;
    process.stderr.write('', () => process.exit(final));
  });
}

function noOutput(cause: Error): LockstepError {
  return new LockstepError('E_OUTPUT', {
    where: 'standard output',
    expected: 'a place that takes what is printed',
    got: cause.message,
    fix: 'make room, or send it elsewhere',
    cause,
  });
}

function kill(name: keyof typeof SIGNALS): void {
  process.removeAllListeners(name);
  process.kill(process.pid, name);
}
