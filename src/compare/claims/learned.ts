/** Experiments on real data: small networks that train in a second or less. */
import { normal } from '../../nn/initializers.ts';
import { dense } from '../../nn/layers/dense.ts';
import { sequential } from '../../nn/layers/sequential.ts';
import { median } from '../statistics.ts';
import type { Cell, Experiment, Laboratory } from './contract.ts';
import { breastCancer, digits, spam } from './data.ts';
import { finalOf, learn, onCores, perceptron, type Run, reach, type Setup, secondsUntil } from './training.ts';

const TUNING_SEED = 1;
const FIRST_SEED = 101;
export const RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];

/** A way of training, but for learning rate and seed. */
export interface Way extends Omit<Setup, 'optimizer' | 'seed'> {
  readonly name: string;
  readonly kind: string;
  /** Of the optimizer, beside its rate. */
  readonly options?: object;
}

/** Every way with every rate on the tuning seed, then each way with its best rate on fresh seeds. */
export async function tuneAndRun(
  laboratory: Laboratory,
  ways: readonly Way[],
  rates: readonly number[],
  seeds: number,
  score: (run: Run) => number,
): Promise<{
  tuned: { way: Way; lr: number; score: number; accuracy: number }[];
  runs: { way: Way; lr: number; seed: number; run: Run }[];
}> {
  const { quick } = laboratory;
  const grid = quick ? rates.filter((_, i) => i % 3 === 1) : rates;
  const trials = ways.flatMap((way) => grid.map((lr) => ({ way, lr })));
  const tuned = await onCores(laboratory, trials, async ({ way, lr }) => {
    const run = await learn(
      { ...way, optimizer: { ...way.options, kind: way.kind, lr }, seed: TUNING_SEED },
      laboratory.signal,
    );
    const value = score(run);
    return {
      way,
      lr,
      score: Number.isNaN(value) ? Number.POSITIVE_INFINITY : value,
      accuracy: finalOf(run, 'val.accuracy'),
    };
  });
  const finals = ways.flatMap((way) => {
    const best = tuned.filter((t) => t.way === way).reduce((a, b) => (b.score < a.score ? b : a));
    return Array.from({ length: quick ? 2 : seeds }, (_, i) => ({ way, lr: best.lr, seed: FIRST_SEED + i }));
  });
  const runs = await onCores(laboratory, finals, async ({ way, lr, seed }) => {
    const run = await learn({ ...way, optimizer: { ...way.options, kind: way.kind, lr }, seed }, laboratory.signal);
    return { way, lr, seed, run };
  });
  return { tuned, runs };
}

const steps = (run: Run, metric: string, value: number) =>
  reach(run, metric, value, 'max')?.step ?? Number.POSITIVE_INFINITY;
/** Lower is better: sooner at the target, and among those that miss it the better end. */
const soonest = (metric: string, value: number) => (run: Run) => {
  const at = steps(run, metric, value);
  return Number.isFinite(at) ? at : 1e9 - finalOf(run, metric);
};

export const gradientNoise: Experiment = {
  id: 'gradient-noise',
  about:
    'Digits, a network 64-64-10 at its initial parameters (lr 1e-12): mean squared norm of the gradient of batches minus that of all rows, the variance of the gradient, over one epoch; five seeds.',
  run: async (laboratory) => {
    const data = digits();
    const model = perceptron([64], 10);
    const cases = [1, 8, 32, 128, 512].flatMap((batchSize) =>
      Array.from({ length: laboratory.quick ? 1 : 5 }, (_, i) => ({ batchSize, seed: i + 1 })),
    );
    const rows = await onCores(laboratory, cases, async ({ batchSize, seed }): Promise<Cell[]> => {
      const setup = { data, model, optimizer: { kind: 'sgd', lr: 1e-12 }, seed, epochs: 1 };
      const squared = ({ steps: records }: Run) =>
        records.reduce((sum, { gradNorm, samples }) => sum + samples * gradNorm * gradNorm, 0) /
        records.reduce((sum, { samples }) => sum + samples, 0);
      const all = squared(await learn({ ...setup, batchSize: 'full' }));
      return [batchSize, seed, squared(await learn({ ...setup, batchSize })) - all];
    });
    return { columns: ['batch', 'seed', 'variance'], rows };
  },
};

export const smoothness: Experiment = {
  id: 'smoothness',
  about:
    'Digits, a network 64-64-10, SGD with lr 0.05 for every batch size, 200 steps: share of the steps at which the loss of the batch is above that of the step before; five seeds.',
  run: async (laboratory) => {
    const data = digits();
    const cases = ([1, 8, 32, 128, 512, 'full'] as const).flatMap((batchSize) =>
      Array.from({ length: laboratory.quick ? 1 : 5 }, (_, i) => ({ batchSize, seed: FIRST_SEED + i })),
    );
    const rows = await onCores(laboratory, cases, async ({ batchSize, seed }): Promise<Cell[]> => {
      const optimizer = { kind: 'sgd', lr: 0.05 };
      const setup = { data, model: perceptron([64], 10), optimizer, batchSize, seed, epochs: 200, steps: 200 };
      const run = await learn({ ...setup, evaluateEpochs: 1000 }, laboratory.signal);
      const rises = run.steps.filter(({ loss }, i) => i > 0 && loss > run.steps[i - 1].loss).length;
      return [String(batchSize), seed, rises / (run.steps.length - 1)];
    });
    return { columns: ['batch', 'seed', 'rises'], rows };
  },
};

export const batchSizes: Experiment = {
  id: 'batch-sizes',
  about:
    'Digits, a network 64-64-10, SGD: for each batch size the best of nine learning rates by the steps to 95 % validation accuracy (at most 30 epochs, 600 for 512 rows and more), then eight fresh seeds.',
  run: async (laboratory) => {
    const data = digits();
    const ways = ([1, 8, 32, 128, 512, 'full'] as const).map((batchSize): Way => {
      const large = batchSize === 'full' || batchSize >= 512;
      return {
        name: String(batchSize),
        kind: 'sgd',
        data,
        model: perceptron([64], 10),
        batchSize,
        epochs: large ? 600 : 30,
        evaluateEpochs: large ? 5 : 1,
      };
    });
    const { runs } = await tuneAndRun(laboratory, ways, RATES, 8, soonest('val.accuracy', 0.95));
    const rows = runs.map(({ way, lr, seed, run }): Cell[] => {
      const target = reach(run, 'val.accuracy', 0.95, 'max');
      const epochs = run.steps.at(-1)?.epoch ?? 1;
      return [
        way.name,
        lr,
        seed,
        (1000 * secondsUntil(run, Number.POSITIVE_INFINITY)) / epochs,
        target?.epoch ?? Number.POSITIVE_INFINITY,
        target ? secondsUntil(run, target.step) : Number.POSITIVE_INFINITY,
      ];
    });
    return {
      columns: ['batch', 'lr', 'seed', 'ms an epoch', 'epochs to 95 %', 'seconds to 95 %'],
      rows,
    };
  },
};

const RACERS = ['sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam'];

export const digitsRace: Experiment = {
  id: 'digits-race',
  about:
    "Digits, a network 64-64-64-10, batches of 32, 12 epochs (full-batch descent: 1,500 epochs, with every optimizer's target): the best of nine learning rates by the steps to 96 % validation accuracy, then eight fresh seeds. Width: decades of the learning rate whose run on the tuning seed ends within 5 % of the best accuracy.",
  run: async (laboratory) => {
    const data = digits();
    const shared = { data, model: perceptron([64, 64], 10) };
    const ways: Way[] = [
      {
        ...shared,
        name: 'full batch',
        kind: 'sgd',
        batchSize: 'full',
        epochs: laboratory.quick ? 100 : 1500,
        evaluateEpochs: 10,
      },
      ...RACERS.map((kind): Way => ({ ...shared, name: kind, kind, batchSize: 32, epochs: 12, evaluateSteps: 15 })),
    ];
    const race = await tuneAndRun(laboratory, ways, RATES, 8, soonest('val.accuracy', 0.96));
    const rows = race.runs.map(({ way, lr, seed, run }): Cell[] => {
      const target = reach(run, 'val.accuracy', 0.96, 'max');
      return [
        way.name,
        lr,
        seed,
        target?.step ?? Number.POSITIVE_INFINITY,
        target ? secondsUntil(run, target.step) : Number.POSITIVE_INFINITY,
        finalOf(run, 'val.accuracy'),
        width(race.tuned.filter((t) => t.way === way)),
      ];
    });
    return {
      columns: ['optimizer', 'lr', 'seed', 'steps to 96 %', 'seconds to 96 %', 'final accuracy', 'lr width'],
      rows,
    };
  },
};

/** Decades of rates in a row, around the best, within 5 % of the best. */
function width(points: readonly { lr: number; accuracy: number }[]): number {
  const sorted = [...points].sort((a, b) => a.lr - b.lr);
  const best = Math.max(...sorted.map(({ accuracy }) => (Number.isNaN(accuracy) ? 0 : accuracy)));
  const at = sorted.findIndex(({ accuracy }) => accuracy === best);
  const good = (i: number) => sorted[i] !== undefined && sorted[i].accuracy >= 0.95 * best;
  let [low, high] = [at, at];
  while (good(low - 1)) low--;
  while (good(high + 1)) high++;
  return sorted.length === 0 ? Number.NaN : Math.log10(sorted[high].lr / sorted[low].lr);
}

export const sparseWords: Experiment = {
  id: 'sparse-words',
  about:
    'Spam mails as sets of words (about 97 of 2,000 occur), logistic regression, batches of 32, 6 epochs: the best of nine learning rates by the final validation loss, then eight fresh seeds; and the width of the learning rate for accuracy.',
  run: async (laboratory) => {
    const data = spam();
    const ways = ['sgd', 'momentum', 'adagrad', 'rmsprop', 'adam'].map(
      (kind): Way => ({ name: kind, kind, data, model: perceptron([], 2), batchSize: 32, epochs: 6 }),
    );
    const { tuned, runs } = await tuneAndRun(laboratory, ways, RATES, 8, (run) => finalOf(run, 'val.loss'));
    const rows = runs.map(({ way, lr, seed, run }): Cell[] => [
      way.name,
      lr,
      seed,
      finalOf(run, 'val.loss'),
      finalOf(run, 'val.accuracy'),
      width(tuned.filter((t) => t.way === way)),
    ]);
    return { columns: ['optimizer', 'lr', 'seed', 'validation loss', 'validation accuracy', 'lr width'], rows };
  },
};

export const smallData: Experiment = {
  id: 'small-data',
  about:
    'Breast cancer, 100 rows to train on and 469 to validate, a network 30-64-2, batches of 16, 60 epochs: the best of nine learning rates by the final validation loss on the tuning seed, then sixteen fresh splits.',
  run: async (laboratory) => {
    const data = breastCancer();
    const ways = ['sgd', 'momentum', 'rmsprop', 'adam'].map(
      (kind): Way => ({
        name: kind,
        kind,
        data,
        model: perceptron([64], 2),
        batchSize: 16,
        epochs: 60,
        validation: 469 / 569,
        evaluateEpochs: 20,
      }),
    );
    const { runs } = await tuneAndRun(laboratory, ways, RATES, 16, (run) => finalOf(run, 'val.loss'));
    const rows = runs.map(({ way, lr, seed, run }): Cell[] => [
      way.name,
      lr,
      seed,
      finalOf(run, 'val.loss'),
      finalOf(run, 'val.accuracy'),
      run.steps.slice(-6).reduce((sum, { loss }) => sum + loss / 6, 0),
    ]);
    return { columns: ['optimizer', 'lr', 'seed', 'validation loss', 'validation accuracy', 'training loss'], rows };
  },
};

export const clipping: Experiment = {
  id: 'clipping',
  about:
    'Digits, ten hidden layers of 64 (relu) with normal weights of standard deviation 0.35, twice what keeps the variance: gradients explode. SGD, lr 0.01, batches of 32, 5 epochs, with and without clipping to a global norm of 1; eight seeds.',
  run: async (laboratory) => {
    const data = digits();
    const init = normal(0.35);
    const deep = sequential(...Array.from({ length: 10 }, () => dense(64, 'relu', { init })), dense(10, { init }));
    const cases = [false, true].flatMap((clipped) =>
      Array.from({ length: laboratory.quick ? 1 : 8 }, (_, i) => ({ clipped, seed: FIRST_SEED + i })),
    );
    const rows = await onCores(laboratory, cases, async ({ clipped, seed }): Promise<Cell[]> => {
      const clip = clipped ? { clip: { globalNorm: 1 } } : {};
      const run = await learn({
        data,
        model: deep,
        optimizer: { kind: 'sgd', lr: 0.01 },
        batchSize: 32,
        epochs: 5,
        seed,
        ...clip,
      });
      return [
        clipped,
        seed,
        run.steps[0]?.gradNorm ?? Number.POSITIVE_INFINITY,
        run.finite,
        finalOf(run, 'val.accuracy'),
      ];
    });
    return { columns: ['clipped', 'seed', 'first gradient norm', 'stayed finite', 'final accuracy'], rows };
  },
};

export const vanishing: Experiment = {
  id: 'vanishing',
  about:
    'Digits, four hidden layers of 32 sigmoids: gradients vanish on the way down. Batches of 32, 40 epochs, the best of nine learning rates by the final training loss, then eight fresh seeds.',
  run: async (laboratory) => {
    const data = digits();
    const last = (run: Run) => (run.finite ? median(run.steps.slice(-45).map(({ loss }) => loss)) : Number.NaN);
    const ways = ['sgd', 'momentum', 'rmsprop', 'adam'].map(
      (kind): Way => ({
        name: kind,
        kind,
        data,
        model: perceptron([32, 32, 32, 32], 10, 'sigmoid'),
        batchSize: 32,
        epochs: 40,
        evaluateEpochs: 10,
      }),
    );
    const { runs } = await tuneAndRun(laboratory, ways, RATES, 8, last);
    const rows = runs.map(({ way, lr, seed, run }): Cell[] => [
      way.name,
      lr,
      seed,
      last(run),
      finalOf(run, 'val.accuracy'),
    ]);
    return { columns: ['optimizer', 'lr', 'seed', 'training loss', 'final accuracy'], rows };
  },
};

export const betas: Experiment = {
  id: 'adam-betas',
  about:
    'Digits, a network 64-64-64-10, batches of 32, 12 epochs, Adam with other betas: each with the best of nine learning rates by the steps to 96 % validation accuracy, then eight fresh seeds.',
  run: async (laboratory) => {
    const data = digits();
    const pairs = [
      [0.5, 0.999],
      [0.9, 0.9],
      [0.9, 0.99],
      [0.9, 0.999],
      [0.9, 0.9999],
      [0.99, 0.999],
    ];
    const ways = pairs.map(
      (values): Way => ({
        name: values.join('/'),
        kind: 'adam',
        options: { betas: values },
        data,
        model: perceptron([64, 64], 10),
        batchSize: 32,
        epochs: 12,
        evaluateSteps: 15,
      }),
    );
    const { runs } = await tuneAndRun(laboratory, ways, RATES, 8, soonest('val.accuracy', 0.96));
    const rows = runs.map(({ way, lr, seed, run }): Cell[] => [
      way.name,
      lr,
      seed,
      steps(run, 'val.accuracy', 0.96),
      finalOf(run, 'val.accuracy'),
    ]);
    return { columns: ['betas', 'lr', 'seed', 'steps to 96 %', 'final accuracy'], rows };
  },
};

export const scaling: Experiment = {
  id: 'scaling',
  about:
    'Digits, a network 64-512-512-10, lr 0.001, batches of 256, 100 steps: a quarter, half and all of the rows on one worker, and all rows on two; three seeds, one run at a time.',
  run: async (laboratory) => {
    const data = digits();
    const sizes = [450, 900, 1797];
    const seeds = laboratory.quick ? [FIRST_SEED] : [FIRST_SEED, FIRST_SEED + 1, FIRST_SEED + 2];
    const cases = seeds.flatMap((seed) =>
      ['sgd', 'adam'].flatMap((kind) => [
        ...sizes.map((rows) => ({ kind, seed, rows, workers: 1 })),
        { kind, seed, rows: 1797, workers: 2 },
      ]),
    );
    const rows = await onCores(
      { ...laboratory, cores: 1 },
      cases,
      async ({ kind, seed, rows: count, workers }): Promise<Cell[]> => {
        const optimizer = { kind, lr: 0.001 };
        const perEpoch = Math.ceil((0.8 * count) / 256);
        const setup = {
          data,
          model: perceptron([512, 512], 10),
          optimizer,
          batchSize: 256,
          epochs: Math.ceil(100 / perEpoch),
        };
        const run = await learn({ ...setup, rows: count, seed, workers, evaluateEpochs: 1000 }, laboratory.signal);
        const full = run.steps.filter(({ samples }) => samples === 256);
        return [kind, count, workers, seed, median(full.map(({ timings }) => timings.stepMs)), run.sha256.slice(0, 16)];
      },
    );
    return { columns: ['optimizer', 'rows', 'workers', 'seed', 'ms a step', 'parameters'], rows };
  },
};
