import { Worker } from 'node:worker_threads';
import { median } from '../compare/statistics.ts';
import { type AskProbe, exchangeVectors, type ProbeExchange, type ProbeOptions } from './probe-exchange.ts';
import type { Link, WireCosts } from './scenario.ts';

/** Exchanges before those that count: code is compiled. */
const WARM_UP = 20;
/** Vectors in each direction, at least and at most. */
const [FEWEST, MOST] = [8, 200];
const MESSAGES = 200;
/** The same over a slow link, of which every one takes long. */
const [FEW_VECTORS, FEW_MESSAGES] = [3, 10];
/** By what the link is said to be a vector takes at least so long, or says nothing of its rate, and at most so long. */
const [LEAST_MS, MOST_MS] = [10, 1000];
/** Where both ends are so fast that they are what is measured. */
const MOST_BYTES = 16 * 1024 * 1024;

/**
 * What the sockets of a coordinator and of a node cost on this machine, from the messages that they exchange in a step, between two real
 * processes without anything to compute: parameters down, sums up, and a request with its answer. `seconds`: for each direction, about.
 */
export function probeCosts(
  bytes: number,
  seconds: number,
  ask: AskProbe,
  options: ProbeOptions = {},
): Promise<WireCosts> {
  return exchangeVectors(
    bytes,
    ask,
    async (exchange) => {
      const messageMs = (await timeOf(MESSAGES, exchange.message)) / 2;
      const [downSendMs, downReceiveMs] = await costOf(seconds, bytes, exchange, exchange.down);
      const [upReceiveMs, upSendMs] = await costOf(seconds, bytes, exchange, exchange.up);
      return { downSendMs, downReceiveMs, upSendMs, upReceiveMs, messageMs, wakeMs: await wakeMs() };
    },
    options,
  );
}

/** Bytes of a vector that says how fast a link is: those of the job, where that takes neither too long nor no time. */
export function probedBytes(bytes: number, { bytesPerMs }: Link): number {
  const enough = Math.max(bytes, Math.min(MOST_BYTES, LEAST_MS * bytesPerMs));
  return 4 * Math.ceil(Math.min(enough, MOST_MS * bytesPerMs) / 4);
}

/**
 * How fast a link is between two processes: its latency beyond `messageMs`, and what a byte takes; at best what it is said to be.
 *
 * @param vectorBytes of the job.
 * @param relayCpuMs CPU time so far of the process that makes the link.
 */
export function probeLink(
  vectorBytes: number,
  said: Link,
  messageMs: number,
  ask: AskProbe,
  relayCpuMs: () => Promise<number>,
  options: ProbeOptions,
): Promise<Link> {
  const bytes = probedBytes(vectorBytes, said);
  return exchangeVectors(
    bytes,
    ask,
    async (exchange) => {
      const thereAndBackMs = await timeOf(FEW_MESSAGES, exchange.message);
      const before = await relayCpuMs();
      const vectorMs = [await timeOf(FEW_VECTORS, exchange.down), await timeOf(FEW_VECTORS, exchange.up)];
      const carried = 2 * (FEW_VECTORS + 1) * bytes;
      return {
        latencyMs: Math.max(said.latencyMs, thereAndBackMs / 2 - messageMs),
        bytesPerMs: Math.min(said.bytesPerMs, ...vectorMs.map((ms) => bytes / Math.max(1e-6, ms - thereAndBackMs))),
        relayMs: ((await relayCpuMs()) - before) / carried,
      };
    },
    options,
  );
}

/** Of several probes. */
export function medianCosts(probes: readonly WireCosts[]): WireCosts | undefined {
  if (probes.length === 0) return undefined;
  const of = (name: keyof WireCosts) => median(probes.map((costs) => costs[name]));
  const bytes = { downSendMs: of('downSendMs'), downReceiveMs: of('downReceiveMs'), upSendMs: of('upSendMs'), upReceiveMs: of('upReceiveMs') }; // biome-ignore format: a record
  return { ...bytes, messageMs: of('messageMs'), wakeMs: of('wakeMs') };
}

/** Of several probes. */
export function medianLink(probes: readonly Link[]): Link | undefined {
  if (probes.length === 0) return undefined;
  const of = (name: keyof Link) => median(probes.map((link) => link[name] ?? 0));
  return { latencyMs: of('latencyMs'), bytesPerMs: of('bytesPerMs'), relayMs: of('relayMs') };
}

/** The median of so many, after one that does not count. */
async function timeOf(count: number, exchange: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i <= count; i++) {
    const start = performance.now();
    await exchange();
    times.push(performance.now() - start);
  }
  return median(times.slice(1));
}

/** CPU milliseconds of a byte here and there; by the clock where the system does not tell. */
async function costOf(
  seconds: number,
  bytes: number,
  { forget, cpuMs }: ProbeExchange,
  exchange: () => Promise<void>,
): Promise<readonly [here: number, there: number]> {
  const until = performance.now() + 1000 * seconds; // of large vectors a few are enough
  for (let i = 0; i < WARM_UP && performance.now() < until; i++) await exchange();
  const begun = performance.now();
  await exchange();
  const count = Math.max(FEWEST, Math.min(MOST, Math.round((1000 * seconds) / (performance.now() - begun))));
  const before = await cpuMs();
  let clockMs = 0;
  for (let i = 0; i < count; i++) {
    await forget();
    const start = performance.now();
    await exchange();
    clockMs += performance.now() - start;
  }
  const after = await cpuMs();
  const per = (i: 0 | 1) => {
    const told = Number.isFinite(after[0]); // by both or by none
    return (told ? after[i] - before[i] : clockMs / 2) / (count * bytes);
  };
  return [per(0), per(1)];
}

const WAKES = 400;
/** A worker that answers each number by the same, as workers and main thread do: by words in shared memory. */
const ECHO = `
  const { workerData: words } = require('node:worker_threads');
  for (let n = 1; n <= ${WAKES}; n++) {
    while (Atomics.load(words, 0) < n) Atomics.wait(words, 0, n - 1);
    Atomics.store(words, 1, n);
    Atomics.notify(words, 1);
  }
`;

/** How long a main thread and its workers take to wake each other, one way. */
async function wakeMs(): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(8));
  const worker = new Worker(ECHO, { eval: true, workerData: words });
  const times: number[] = [];
  for (let n = 1; n <= WAKES; n++) {
    const start = performance.now();
    Atomics.store(words, 0, n);
    Atomics.notify(words, 0);
    const change = Atomics.waitAsync(words, 1, n - 1);
    if (change.async) await change.value;
    times.push(performance.now() - start);
  }
  await worker.terminate();
  return median(times) / 2;
}
