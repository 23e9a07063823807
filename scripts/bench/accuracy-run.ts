/** Lockstep's side of accuracy.ts: `accuracy-run.ts WORKERS TARGET EPOCHS`, the job of examples/mnist.ts read on the test rows. */
import mnist from '../../examples/mnist.ts';
import { defineJob, train } from '../../src/index.ts';

const [workers, target, epochs] = process.argv.slice(2).map(Number);
const { train: rows, test } = mnist.data;
if (test === undefined) throw new Error('examples/mnist.ts has no test rows');
const reached: { accuracy: number; seconds: number; trainingSeconds: number }[] = [];
let started = 0;
let trainingMs = 0;
const job = defineJob({
  ...mnist,
  data: { train: rows, validation: test },
  epochs,
  callbacks: {
    onStart() {
      started = performance.now();
    },
    onSteps(records) {
      for (const { timings } of records) trainingMs += timings.stepMs;
    },
    onEvaluation({ metrics }, control) {
      const accuracy = metrics['val.accuracy'];
      reached.push({ accuracy, seconds: (performance.now() - started) / 1000, trainingSeconds: trainingMs / 1000 });
      if (accuracy >= target) control.stop(`test accuracy ${accuracy}`);
    },
  },
});
const { history } = await train(job, { workers, module: import.meta.resolve('../../examples/mnist.js') });
const lr = [...history].map((record) => record.lr);
process.stdout.write(`\nRESULT ${JSON.stringify({ epochs: reached, lr, batch: mnist.batchSize })}\n`);
