/**
 * What the textbook says about optimizers, sentence by sentence, with the experiment that decides it and the rule by which it does.
 * `lockstep compare --suite claims` runs the experiments; docs/which-optimizer.md is made from their results.
 */

import {
  biasCorrection,
  localMinima,
  movingTarget,
  overshoot,
  power,
  rateDecay,
  ravineSteps,
  saddle,
  secondOrder,
  wilson,
} from './claims/constructed.ts';
import type { Cell, Claim, Experiment, Judgement, Table, Verdict } from './claims/contract.ts';
import {
  batchSizes,
  betas,
  clipping,
  digitsRace,
  gradientNoise,
  scaling,
  smallData,
  smoothness,
  sparseWords,
  vanishing,
} from './claims/learned.ts';
import { architectures, CONVOLUTION, LSTM_DIGITS, LSTM_SERIES } from './claims/sequences.ts';
import { column, keys, middle, numbers, paired } from './claims/tables.ts';
import { ALPHA } from './finals.ts';
import { holm } from './statistics.ts';
import { formatSeconds, formatValue } from './text.ts';

/** In the order in which they are run: quick ones first. */
export const EXPERIMENTS: readonly Experiment[] = [
  localMinima,
  ravineSteps,
  overshoot,
  rateDecay,
  movingTarget,
  biasCorrection,
  wilson,
  saddle,
  secondOrder,
  gradientNoise,
  smoothness,
  clipping,
  scaling,
  batchSizes,
  digitsRace,
  betas,
  sparseWords,
  smallData,
  vanishing,
  architectures,
];

const v = formatValue;
const judged = (verdict: Verdict, because: string): Judgement => ({ verdict, because });
const holdsIf = (condition: boolean, because: string) => judged(condition ? 'holds' : 'does not hold', because);

export const CLAIMS: readonly Claim[] = [
  {
    id: 'batch-cost',
    chapter: 1,
    text: 'An epoch of single rows costs the most time, an epoch of all rows at once the least.',
    test: {
      experiment: batchSizes.id,
      judge(table) {
        const [one, mini, full] = ['1', '32', 'full'].map((size) => middle(table, 'ms an epoch', size));
        return holdsIf(
          one > mini && mini > full,
          `An epoch takes ${v(one)} ms by single rows, ${v(mini)} ms by 32, ${v(full)} ms by all rows: most of the gain comes with the first mini-batch.`,
        );
      },
    },
  },
  {
    id: 'batch-noise',
    chapter: 1,
    text: 'The gradient of fewer rows is noisier.',
    test: {
      experiment: gradientNoise.id,
      judge(table) {
        const sizes = keys(table).map(Number);
        const exponent = power(sizes.map((size) => [size, middle(table, 'variance', size)]));
        return holdsIf(
          Math.abs(exponent + 1) < 0.15,
          `Its variance falls with the batch size to the power ${exponent.toFixed(2)}; independent rows give -1.`,
        );
      },
    },
  },
  {
    id: 'batch-smoothness',
    chapter: 1,
    text: 'Batch descent goes down smoothly, stochastic descent jumps, mini-batches lie between.',
    test: {
      experiment: smoothness.id,
      judge(table) {
        const [one, mini, full] = ['1', '32', 'full'].map((size) => middle(table, 'rises', size));
        return holdsIf(
          full < 0.05 && mini < one && mini > full,
          `The loss rises at ${v(100 * one)} % of the steps by single rows, ${v(100 * mini)} % by 32 rows, ${v(100 * full)} % by all.`,
        );
      },
    },
  },
  {
    id: 'batch-compromise',
    chapter: 1,
    text: 'Mini-batches of 32 to 512 rows are the best compromise.',
    test: { experiment: batchSizes.id, judge: judgeCompromise },
  },
  {
    id: 'noise-minima',
    chapter: 1,
    text: 'The noise of stochastic gradients helps to leave local minima.',
    test: {
      experiment: localMinima.id,
      judge(table) {
        const found = numbers(table, 'in the deeper minimum');
        const runs = numbers(table, 'runs')[0];
        const levels = numbers(table, 'sigma');
        const best = found.indexOf(Math.max(...found));
        const still = found[levels.indexOf(0)];
        return holdsIf(
          still === 0 && found[best] > runs / 2,
          `Without noise ${still} of ${runs} runs leave the shallow minimum, with σ = ${levels[best]} ${found[best]}; a little noise (σ ≤ 1) does nothing, more than needed (σ = ${levels[levels.length - 1]}) less again.`,
        );
      },
    },
  },
  {
    id: 'ravine',
    chapter: 2,
    text: 'In a ravine momentum and Nesterov need far fewer steps than descent.',
    test: {
      experiment: ravineSteps.id,
      judge(table) {
        const growth = (kind: string) => {
          const steps = numbers(table, 'steps', kind);
          return power(numbers(table, 'kappa', kind).map((k, i) => [k, steps[i]]));
        };
        const [sgd, momentum, nesterov] = ['sgd', 'momentum', 'nesterov'].map(growth);
        return holdsIf(
          sgd > 0.9 && momentum < 0.65 && nesterov < 0.65,
          `Steps grow with the condition number to the power ${sgd.toFixed(2)} for descent, ${momentum.toFixed(2)} for momentum, ${nesterov.toFixed(2)} for Nesterov (theory: 1, ½, ½); at κ = 10,000 that is ${numbers(table, 'steps', 'sgd')[3]} against ${numbers(table, 'steps', 'momentum')[3]} and ${numbers(table, 'steps', 'nesterov')[3]}.`,
        );
      },
    },
  },
  {
    id: 'overshoot',
    chapter: 2,
    text: 'Momentum overshoots the minimum, Nesterov less.',
    test: {
      experiment: overshoot.id,
      judge(table) {
        const momentum = numbers(table, 'overshoot', 'momentum');
        const nesterov = numbers(table, 'overshoot', 'nesterov');
        const less = momentum.every((far, i) => far > 0 && nesterov[i] < far);
        return holdsIf(
          less,
          `With β = 0.9 by ${v(100 * momentum[1])} % of the start against ${v(100 * nesterov[1])} %; less for every β tried.`,
        );
      },
    },
  },
  {
    id: 'adagrad-sparse',
    chapter: 3,
    text: 'AdaGrad is good on sparse features.',
    test: { experiment: sparseWords.id, judge: judgeSparse },
  },
  {
    id: 'adagrad-tuning',
    chapter: 3,
    text: 'AdaGrad needs no manual tuning of the learning rate.',
    test: {
      experiment: sparseWords.id,
      judge(table) {
        const [adagrad, sgd, adam] = ['adagrad', 'sgd', 'adam'].map((kind) => middle(table, 'lr width', kind));
        const verdict = adagrad >= 2 ? 'holds' : adagrad > sgd ? 'holds partly' : 'does not hold';
        return judged(
          verdict,
          `Its rate may be anywhere in ${v(adagrad)} decades for 95 % of the best accuracy on the mails; that of SGD in ${v(sgd)}, of Adam in ${v(adam)}.`,
        );
      },
    },
  },
  {
    id: 'adagrad-decay',
    chapter: 3,
    text: "AdaGrad's learning rate decays too far.",
    test: {
      experiment: rateDecay.id,
      judge(table) {
        const rates = numbers(table, 'rate / first rate', 'adagrad');
        const falls = rates.every((rate, i) => i === 0 || rate <= rates[i - 1]);
        return holdsIf(
          falls && rates[0] < 0.1,
          `After 500 large gradients its rate is ${v(rates[0])} of the first; 50,000 steps of a hundred times smaller gradients later it is ${v(rates[3])}: it never comes back.`,
        );
      },
    },
  },
  {
    id: 'rmsprop-recovers',
    chapter: 4,
    text: "RMSprop's rate does not decay for ever.",
    test: {
      experiment: rateDecay.id,
      judge(table) {
        const rates = numbers(table, 'rate / first rate', 'rmsprop');
        return holdsIf(
          rates[2] > rates[0],
          `After the large gradients it is ${v(rates[0])} of the first, 5,000 small ones later ${v(rates[2])}.`,
        );
      },
    },
  },
  {
    id: 'rmsprop-moving',
    chapter: 4,
    text: 'RMSprop is better on non-stationary objectives.',
    test: { experiment: movingTarget.id, judge: judgeMoving },
  },
  {
    id: 'rmsprop-recurrent',
    chapter: 4,
    text: 'RMSprop is the choice for recurrent networks and time series.',
    test: { experiment: architectures.id, judge: judgeRecurrent },
  },
  {
    id: 'adam-bias',
    chapter: 5,
    text: "Adam's bias correction keeps the first steps right.",
    test: {
      experiment: biasCorrection.id,
      judge(table) {
        const corrected = numbers(table, 'length', true);
        const raw = numbers(table, 'length', false);
        const even = corrected.every((length) => Math.abs(length - 1) < 1e-3);
        return holdsIf(
          even && Math.max(...raw) > 2,
          `With it every step on a constant gradient is one lr long; without it steps are up to ${v(Math.max(...raw))} lr long and still ${v(raw[4])} lr after 100.`,
        );
      },
    },
  },
  {
    id: 'adam-betas',
    chapter: 5,
    text: 'The betas 0.9 and 0.999 are good defaults.',
    test: {
      experiment: betas.id,
      judge(table) {
        const steps = (name: Cell) => middle(table, 'steps to 96 %', name);
        const others = keys(table).filter((name) => name !== '0.9/0.999');
        const p = holm(others.map((name) => paired(table, 'steps to 96 %', '0.9/0.999', name).p));
        const better = others.filter((name, i) => steps(name) < steps('0.9/0.999') && p[i] < ALPHA);
        const listed = keys(table).map((name) => `${name} ${v(steps(name))}`);
        return holdsIf(
          better.length === 0,
          `Median steps to 96 %: ${listed.join(', ')}; ${better.length === 0 ? 'none is significantly better' : `${better.join(', ')} significantly better`}.`,
        );
      },
    },
  },
  {
    id: 'adam-fastest',
    chapter: 5,
    text: 'Adam converges fastest.',
    test: { experiment: digitsRace.id, judge: judgeFastest },
  },
  {
    id: 'adam-tuning',
    chapter: 5,
    text: 'Adam needs the least tuning.',
    test: {
      experiment: digitsRace.id,
      judge(table) {
        const kinds = keys(table).filter((kind) => kind !== 'full batch');
        const widths = kinds.map((kind) => middle(table, 'lr width', kind));
        const adam = widths[kinds.indexOf('adam')];
        const listed = kinds.map((kind, i) => `${kind} ${v(widths[i])}`).join(', ');
        return holdsIf(
          adam >= Math.max(...widths),
          `Decades of the learning rate within 5 % of the best accuracy: ${listed}. Defaults differ more: Adam's 0.001 needs no thought, SGD's rate has none.`,
        );
      },
    },
  },
  {
    id: 'adam-scales',
    chapter: 5,
    text: 'Adam scales with the volume of data and with the number of workers.',
    test: { experiment: scaling.id, judge: judgeScaling },
  },
  {
    id: 'reduction-table',
    chapter: 6,
    text: 'Training-time reduction: SGD 15-20 % at moderate, RMSprop 25-40 % at variable, Adam 35-50 % at high accuracy.',
    test: { experiment: digitsRace.id, judge: judgeReduction },
  },
  {
    id: 'sgd-wilson',
    chapter: 7,
    text: 'There are problems on which adaptive methods fit the training rows and SGD generalises.',
    test: {
      experiment: wilson.id,
      judge(table) {
        const error = (kind: string) => middle(table, 'test error', kind);
        const adaptive = ['adagrad', 'rmsprop', 'adam'].map(error);
        return holdsIf(
          error('sgd') === 0 && error('momentum') === 0 && Math.min(...adaptive) > 0.3,
          `On Wilson's construction all fit the training rows; SGD and momentum err on ${v(error('sgd'))} of the fresh rows, adaptive methods on ${v(Math.min(...adaptive))} to ${v(Math.max(...adaptive))}: they call everything positive.`,
        );
      },
    },
  },
  {
    id: 'sgd-small-data',
    chapter: 7,
    text: 'SGD generalises better on small data.',
    test: { experiment: smallData.id, judge: judgeSmallData },
  },
  {
    id: 'clipping',
    chapter: 8,
    text: 'Clipping tames exploding gradients.',
    test: {
      experiment: clipping.id,
      judge(table) {
        const [raw, clipped] = [false, true].map((key) => column(table, 'stayed finite', key).filter(Boolean).length);
        const runs = column(table, 'stayed finite', true).length;
        const norm = middle(table, 'first gradient norm', true);
        const accuracy = middle(table, 'final accuracy', true);
        return judged(
          clipped === runs && raw < runs / 2 ? (accuracy > 0.9 ? 'holds' : 'holds partly') : 'does not hold',
          `First gradients have a norm of about ${v(norm)}. ${raw} of ${runs} runs without clipping stay finite, ${clipped} of ${runs} with it; but they end at an accuracy of ${v(accuracy)}: clipping saves the run, the cure is the initialisation.`,
        );
      },
    },
  },
  {
    id: 'momentum-vanishing',
    chapter: 8,
    text: 'Momentum counteracts vanishing gradients.',
    test: { experiment: vanishing.id, judge: judgeVanishing },
  },
  {
    id: 'noise-saddle',
    chapter: 9,
    text: 'Noise injection escapes saddle points.',
    test: {
      experiment: saddle.id,
      judge(table) {
        const levels = keys(table).map(Number);
        const steps = levels.map((level) => middle(table, 'steps to |y| > 0.9', level));
        return holdsIf(
          !Number.isFinite(steps[0]) && steps.slice(1).every(Number.isFinite),
          `Without noise no run ever leaves; with σ of ${levels.slice(1).join(', ')} all do, after ${steps.slice(1).map(v).join(', ')} steps in the median.`,
        );
      },
    },
  },
  {
    id: 'second-order',
    chapter: 9,
    text: 'Second-order information gets through flat, bent valleys.',
    test: { experiment: secondOrder.id, judge: judgeSecondOrder },
  },
  {
    id: 'architectures',
    chapter: 10,
    text: 'The choice differs between convolutional and recurrent models.',
    test: { experiment: architectures.id, judge: judgeArchitectures },
  },
];

function judgeCompromise(table: Table): Judgement {
  const sizes = keys(table);
  const time = (size: Cell) => middle(table, 'seconds to 95 %', size);
  const best = sizes.reduce((a, b) => (time(b) < time(a) ? b : a));
  const inside = ['32', '128', '512'].includes(String(best));
  const p = holm(['1', 'full'].map((size) => paired(table, 'seconds to 95 %', best, size).p));
  const verdict = inside && p.every((value) => value < ALPHA) ? 'holds' : inside ? 'holds partly' : 'does not hold';
  const listed = sizes.map((size) => `${size}: ${formatSeconds(time(size))}`).join(', ');
  return judged(
    verdict,
    `Median time to 95 %: ${listed}. Best ${best}; against single rows and all rows Holm-corrected p ${p.map((value) => value.toPrecision(2)).join(' and ')}.`,
  );
}

function judgeSparse(table: Table): Judgement {
  const kinds = keys(table);
  const loss = (kind: Cell) => middle(table, 'validation loss', kind);
  const others = kinds.filter((kind) => kind !== 'adagrad');
  const p = holm(others.map((kind) => paired(table, 'validation loss', 'adagrad', kind).p));
  const beats = others.filter((kind, i) => loss('adagrad') < loss(kind) && p[i] < ALPHA);
  const loses = others.filter((kind, i) => loss('adagrad') > loss(kind) && p[i] < ALPHA);
  const verdict =
    loses.length === 0 && beats.includes('sgd') ? 'holds' : loses.includes('sgd') ? 'does not hold' : 'holds partly';
  const listed = kinds.map((kind) => `${kind} ${v(loss(kind))}`).join(', ');
  return judged(
    verdict,
    `Median validation loss on the mails: ${listed}. AdaGrad is significantly better than ${names(beats)}, significantly worse than ${names(loses)}.`,
  );
}

function judgeMoving(table: Table): Judgement {
  const kinds = [...new Set(column(table, 'optimizer'))];
  const others = kinds.filter((kind) => kind !== 'rmsprop');
  const cases = keys(table).map((name) => {
    const error = (kind: Cell) => middle(table, 'squared distance', [name, kind]);
    const p = holm(others.map((kind) => paired(table, 'squared distance', [name, 'rmsprop'], [name, kind]).p));
    const beats = others.filter((kind, i) => error('rmsprop') < error(kind) && p[i] < ALPHA);
    const listed = kinds.map((kind) => `${kind} ${v(error(kind))}`).join(', ');
    return { beats, text: `${name} gradients: ${listed}; RMSprop is significantly better than ${names(beats)}` };
  });
  const all = cases.every(({ beats }) => beats.length === others.length);
  const some = cases.some(({ beats }) => beats.includes('adagrad'));
  const because = cases.map(({ text }) => text).join('. ');
  return judged(
    all ? 'holds' : some ? 'holds partly' : 'does not hold',
    `Median squared distance to the walking minimum, ${because}.`,
  );
}

function judgeFastest(table: Table): Judgement {
  const kinds = keys(table).filter((kind) => kind !== 'full batch');
  const steps = (kind: Cell) => middle(table, 'steps to 96 %', kind);
  const others = kinds.filter((kind) => kind !== 'adam');
  const p = holm(others.map((kind) => paired(table, 'steps to 96 %', 'adam', kind).p));
  const beats = others.filter((kind, i) => steps('adam') < steps(kind) && p[i] < ALPHA);
  const loses = others.filter((kind, i) => steps('adam') > steps(kind) && p[i] < ALPHA);
  const verdict = loses.length > 0 ? 'does not hold' : beats.length === others.length ? 'holds' : 'holds partly';
  return judged(
    verdict,
    `Median steps to 96 %, each at its best rate: ${kinds.map((kind) => `${kind} ${v(steps(kind))}`).join(', ')}. Adam is significantly faster than ${names(beats)}, significantly slower than ${names(loses)}.`,
  );
}

function judgeScaling(table: Table): Judgement {
  const time = (kind: string, rows: number, workers: number) => middle(table, 'ms a step', [kind, rows, workers]);
  const growth = (kind: string) => time(kind, 1797, 1) / time(kind, 450, 1);
  const speedup = (kind: string) => time(kind, 1797, 1) / time(kind, 1797, 2);
  const same =
    String(column(table, 'parameters', ['adam', 1797, 1])) === String(column(table, 'parameters', ['adam', 1797, 2]));
  const verdict = growth('adam') < 1.25 && same ? (speedup('adam') > 1.3 ? 'holds' : 'holds partly') : 'does not hold';
  return judged(
    verdict,
    `Four times the rows make a step ${v(growth('adam'))} times as long (SGD ${v(growth('sgd'))}): the cost is that of the rows alone. Two workers are ${v(speedup('adam'))} times as fast as one with Adam, ${v(speedup('sgd'))} times with SGD, and end with ${same ? 'the same bytes' : 'other bytes'}. That is a merit of the step, not of Adam.`,
  );
}

function judgeReduction(table: Table): Judgement {
  const time = (kind: Cell) => middle(table, 'seconds to 96 %', kind);
  const accuracy = (kind: Cell) => middle(table, 'final accuracy', kind, 0);
  const percent = (kind: string, against: string) => 100 * (1 - time(kind) / time(against));
  const ranges = [
    ['sgd', 15, 20],
    ['rmsprop', 25, 40],
    ['adam', 35, 50],
  ] as const;
  const inside = (against: string) =>
    ranges.filter(([kind, low, high]) => percent(kind, against) >= low && percent(kind, against) <= high).length;
  const sentence = ([kind]: (typeof ranges)[number]) => {
    const plain = kind === 'sgd' ? '' : `, ${v(Math.round(percent(kind, 'sgd')))} % against tuned SGD`;
    return `${kind} ${v(Math.round(percent(kind, 'full batch')))} % against tuned full-batch descent${plain}, final accuracy ${v(accuracy(kind))}`;
  };
  const hits = Math.max(inside('full batch'), inside('sgd'));
  const verdict = hits === 3 ? 'holds' : hits > 0 ? 'holds partly' : 'does not hold';
  return judged(
    verdict,
    `Reduction of the time to 96 %: ${ranges.map(sentence).join('; ')}. ${hits} of three lie in the range; percentages without "of what" say little.`,
  );
}

function judgeSmallData(table: Table): Judgement {
  const loss = (kind: string) => middle(table, 'validation loss', kind);
  const plain = loss('sgd') <= loss('momentum') ? 'sgd' : 'momentum';
  const { difference, p } = paired(table, 'validation loss', plain, 'adam');
  const accuracy = (kind: string) => middle(table, 'validation accuracy', kind, 0);
  const verdict = p >= ALPHA || difference >= 0 ? 'does not hold' : 'holds';
  const what =
    p >= ALPHA ? 'no significant difference' : difference < 0 ? 'significantly lower' : 'significantly higher';
  return judged(
    verdict,
    `Validation loss with 100 rows: sgd ${v(loss('sgd'))}, momentum ${v(loss('momentum'))}, rmsprop ${v(loss('rmsprop'))}, adam ${v(loss('adam'))}; ${plain} against adam: ${what} (p ${p.toPrecision(2)}), accuracies ${v(accuracy(plain))} and ${v(accuracy('adam'))}.`,
  );
}

function judgeVanishing(table: Table): Judgement {
  const loss = (kind: Cell) => middle(table, 'training loss', kind);
  const { p } = paired(table, 'training loss', 'momentum', 'sgd');
  const adaptive = paired(table, 'training loss', 'momentum', 'adam');
  const helps = loss('momentum') < loss('sgd') && p < ALPHA;
  const best = !(adaptive.difference > 0 && adaptive.p < ALPHA);
  const listed = keys(table)
    .map((kind) => `${kind} ${v(loss(kind))}`)
    .join(', ');
  return judged(
    helps ? (best ? 'holds' : 'holds partly') : 'does not hold',
    `Training loss after 40 epochs: ${listed}; momentum against SGD p ${p.toPrecision(2)}.${best ? '' : ' Methods that scale each gradient help far more: momentum adds steps up, it does not make small gradients larger.'}`,
  );
}

function judgeSecondOrder(table: Table): Judgement {
  const kinds = keys(table);
  const steps = (kind: Cell) => middle(table, 'steps', kind);
  const curved = kinds.filter((kind) => ['lbfgs', 'sophia', 'shampoo', 'soap'].includes(String(kind)));
  const first = kinds.filter((kind) => !curved.includes(kind));
  const best = (group: readonly Cell[]) => Math.min(...group.map(steps));
  const verdict = best(curved) < best(first) ? 'holds' : best(curved) < steps('sgd') ? 'holds partly' : 'does not hold';
  return judged(
    verdict,
    `Steps on Rosenbrock's function: ${kinds.map((kind) => `${kind} ${v(steps(kind))}`).join(', ')}. A step of L-BFGS may take several evaluations.`,
  );
}

/** Optimizers of a network from best to worst, and whether two differ significantly (Holm over all that the best is compared with). */
function rank(table: Table, network: string) {
  const kinds = [...new Set(column(table, 'optimizer', network))];
  const loss = (kind: Cell) => middle(table, 'validation loss', [network, kind]);
  const sorted = [...kinds].sort((a, b) => loss(a) - loss(b));
  /** Those that `kind` beats, and those that beat it. */
  const against = (kind: Cell) => {
    const others = kinds.filter((other) => other !== kind);
    const p = holm(others.map((other) => paired(table, 'validation loss', [network, kind], [network, other]).p));
    const differs = others.filter((_, i) => p[i] < ALPHA);
    return {
      beats: differs.filter((other) => loss(kind) < loss(other)),
      loses: differs.filter((other) => loss(kind) > loss(other)),
    };
  };
  return { sorted, against, listed: sorted.map((kind) => `${kind} ${v(loss(kind))}`).join(', ') };
}

function judgeRecurrent(table: Table): Judgement {
  const tasks = [LSTM_DIGITS, LSTM_SERIES].map((network) => {
    const { sorted, against, listed } = rank(table, network);
    const { beats, loses } = against('rmsprop');
    const text = `${network}: ${listed}; RMSprop is significantly better than ${names(beats)}, significantly worse than ${names(loses)}`;
    return { all: beats.length === sorted.length - 1, loses, text };
  });
  const never = tasks.every(({ loses }) => loses.length === 0);
  const verdict = tasks.every(({ all }) => all) ? 'holds' : never ? 'holds partly' : 'does not hold';
  return judged(verdict, `Median validation loss, ${tasks.map(({ text }) => text).join('. ')}.`);
}

function judgeArchitectures(table: Table): Judgement {
  const networks = [CONVOLUTION, LSTM_DIGITS, LSTM_SERIES].map((network) => {
    const { sorted, against, listed } = rank(table, network);
    const [best] = sorted;
    const { beats } = against(best);
    return { network, listed, best, good: sorted.filter((kind) => !beats.includes(kind)) };
  });
  const [image, ...sequences] = networks;
  const apart = sequences.map(({ good }) => !good.some((kind) => image.good.includes(kind)));
  const other = sequences.some(({ best }) => best !== image.best);
  const verdict = apart.every(Boolean) ? 'holds' : apart.some(Boolean) || other ? 'holds partly' : 'does not hold';
  const texts = networks.map(
    ({ network, listed, good }) => `${network}: ${listed}; best, or not significantly behind: ${names(good)}`,
  );
  return judged(verdict, `Median validation loss, ${texts.join('. ')}.`);
}

function names(list: readonly Cell[]): string {
  return list.length === 0 ? 'none' : list.join(', ');
}
