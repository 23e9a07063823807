/**
 * `npm run fuzz:wire -- [frames] [seed]`: throws mutated frames, one million by default, half of them at a coordinator and half at nodes,
 * over real connections, while a real run goes on. Ends with 1 when memory grew, or when the run did not end in the bytes of an
 * undisturbed one; a crash ends it by itself.
 */
import { fuzzWire } from './fuzz/wire.ts';
import { wholeNumber } from './given.ts';

const frames = wholeNumber('frames', process.argv[2], 1_000_000);
const seed = wholeNumber('seed', process.argv[3], Date.now() % 100_000);
const MIB = 1 << 20;
/** What heap and buffers may differ by between a fifth of the way and the end. */
const MOST_GROWTH = 16 * MIB;

console.log(`${frames} frames, seed ${seed}`);
const start = performance.now();
const report = await fuzzWire(frames, seed, (done, memory) =>
  console.log(`${done} frames, ${((performance.now() - start) / 1000).toFixed(0)} s, ${(memory / MIB).toFixed(1)} MiB`),
);
const growth = report.memory[1] - report.memory[0];
console.log(report);
console.log(`memory ${growth < 0 ? 'fell' : 'grew'} by ${(Math.abs(growth) / MIB).toFixed(2)} MiB`);
if (growth > MOST_GROWTH || !report.sameBytes) process.exitCode = 1;
