/** The claims of the project, each computed from the results of one run. Pure. */
import { isFar } from '../../src/scaling/core-distance.ts';
import { WORKLOADS } from '../../src/scaling/workloads.ts';
import type { Result } from './results.ts';
import { median } from './statistics.ts';

export interface Claim {
  readonly name: string;
  /** Smaller is better where `must` is an upper limit. */
  readonly sense: 'atLeast' | 'atMost';
  readonly must: number | null;
  readonly aim: number | null;
  readonly unit: string;
}

export interface Ratio extends Claim {
  readonly value: number;
  /** The same from each round alone, smallest and largest; null where there are no rounds. */
  readonly spread: readonly [number, number] | null;
  readonly met: boolean;
  /** Where the cores moved within the run: the median of the rounds by how far they were from each other before it. */
  readonly byDistance?: readonly { readonly ns: number; readonly value: number; readonly rounds: number }[];
}

/** Figures that come from other measurements than steps; absent where they were not asked for. */
export interface Extras {
  readonly adamwNsPerParameter?: number | undefined;
  readonly momentumNsPerParameter?: number | undefined;
  readonly heapGrowthBytes?: number;
  readonly allocatedBytesPerStepAndWorker?: number;
  readonly firstStepSeconds?: number;
}

type Limits = readonly [must: number, aim: number];

/** What each workload must reach, and aims at: share of the machine's GEMM rate, and times PyTorch's samples/s. */
const TARGETS: readonly {
  readonly workload: string;
  readonly efficiency?: Readonly<Record<'blas' | 'wasm', Limits>>;
  readonly one: Limits;
  readonly two: Limits;
}[] = [
  { workload: 'mlp', efficiency: { blas: [0.6, 0.75], wasm: [0.7, 0.85] }, one: [1.25, 1.5], two: [3.5, 4.5] },
  { workload: 'small', one: [4, 6], two: [6, 10] },
  { workload: 'cnn', efficiency: { blas: [0.4, 0.6], wasm: [0.6, 0.75] }, one: [1.7, 2.5], two: [1.9, 3] },
  { workload: 'lstm', efficiency: { blas: [0.25, 0.4], wasm: [0.35, 0.5] }, one: [1.7, 2.5], two: [2.5, 4] },
  { workload: 'gpt', efficiency: { blas: [0.55, 0.7], wasm: [0.65, 0.8] }, one: [1.3, 1.7], two: [2.2, 2.6] },
];

/** What two workers must reach of twice one: strong scaling at equal S and against the fastest single worker of any S, weak scaling. */
const SCALING: readonly {
  readonly workload: string;
  readonly strong?: { readonly batch: number; readonly equal: number; readonly fastest: Limits };
  readonly weak: { readonly batch: number; readonly must: number };
}[] = [
  {
    workload: 'mlp',
    strong: { batch: 512, equal: 0.92, fastest: [0.75, 0.88] },
    weak: { batch: 128, must: 0.95 },
  },
  { workload: 'cnn', strong: { batch: 128, equal: 0.92, fastest: [0.85, 0.93] }, weak: { batch: 64, must: 0.95 } },
  { workload: 'gpt', strong: { batch: 24, equal: 0.92, fastest: [0.85, 0.93] }, weak: { batch: 12, must: 0.95 } },
  { workload: 'lstm', weak: { batch: 64, must: 0.9 } },
  { workload: 'small', weak: { batch: 1024, must: 0.9 } },
];

/** How many times PyTorch's DDP a coordinator and two node processes over loopback must be. */
const CLUSTER = [
  { workload: 'mlp', ddp: 1.4 },
  { workload: 'cnn', ddp: 1.5 },
];

type Where = Partial<Pick<Result, 'peer' | 'workers' | 'gemm' | 'batch' | 'shards' | 'defaultShards' | 'way'>>;

export function computeRatios(results: readonly Result[], extras: Extras): Ratio[] {
  const all = (workload: string, where: Where): Result[] =>
    results.filter(
      (r) => r.workload === workload && Object.entries(where).every(([key, value]) => Reflect.get(r, key) === value),
    );
  const fastest = (candidates: readonly Result[]): Result | undefined =>
    [...candidates].sort((a, b) => b.samplesPerSec - a.samplesPerSec)[0];
  /** Lockstep with `workers`, on the workload's own batch for each: what is claimed of others is claimed there. */
  const ours = (workload: string, workers: number, gemm = 'blas'): Result | undefined => {
    const batch = workers * (WORKLOADS.find(({ name }) => name === workload)?.batch ?? Number.NaN);
    return all(workload, { peer: 'lockstep', workers, gemm, defaultShards: true, batch })[0];
  };
  /** PyTorch's best way with that many cores, on batches of the same size. */
  const torch = (mine: Result | undefined) =>
    mine && fastest(all(mine.workload, { peer: 'torch', workers: mine.workers, batch: mine.batch }));

  const found: (Ratio | undefined)[] = [];
  for (const { workload, efficiency, one, two } of TARGETS) {
    for (const gemm of ['blas', 'wasm'] as const) {
      if (efficiency === undefined) continue;
      const claim = atLeast(`${workload}, 1 worker: GEMM efficiency (${gemm})`, ...efficiency[gemm], '');
      found.push(plain(claim, ours(workload, 1, gemm)?.gemmEfficiency ?? undefined));
    }
    const single = atLeast(`${workload}, 1 worker against PyTorch, 1 process`, ...one);
    const double = atLeast(`${workload}, 2 workers against the better of PyTorch on 2 cores`, ...two);
    const [alone, both] = [ours(workload, 1), ours(workload, 2)];
    found.push(speedup(single, alone, torch(alone)), speedup(double, both, torch(both)));
  }

  for (const { workload, strong, weak } of SCALING) {
    const runs = (where: Where) => all(workload, { peer: 'lockstep', gemm: 'blas', way: 'train()', ...where });
    const [alone] = runs({ workers: 1, batch: weak.batch, defaultShards: true });
    const [grown] = runs({ workers: 2, batch: 2 * weak.batch, defaultShards: true });
    const claim = atLeast(
      `${workload}, weak scaling: efficiency of 2 workers, batch ${weak.batch} each`,
      weak.must,
      null,
      '',
    );
    found.push(efficiencyOf(claim, grown, alone));
    if (!strong) continue;
    const at = (name: string, limits: Limits) =>
      atLeast(`${workload}, batch ${strong.batch}: efficiency of 2 workers ${name}`, ...limits, '');
    const [both] = runs({ workers: 2, batch: strong.batch, defaultShards: true });
    const ones = runs({ workers: 1, batch: strong.batch });
    found.push(
      efficiencyOf(
        at('at equal S', [strong.equal, 1]),
        both,
        ones.find((r) => r.defaultShards),
      ),
    );
    found.push(efficiencyOf(at('against the fastest single worker of any S', strong.fastest), both, fastest(ones)));
  }

  for (const { workload, ddp } of CLUSTER) {
    const [nodes] = all(workload, { peer: 'lockstep', way: 'coordinator and 2 nodes' });
    const beside = nodes && { batch: nodes.batch, workers: 2 };
    const [local] = all(workload, { peer: 'lockstep', way: 'train()', gemm: 'blas', defaultShards: true, ...beside });
    const [processes] = all(workload, { peer: 'torch', way: 'DDP, 2 processes', ...beside });
    const wire = nodes?.wire;
    const beyond = wire && local && (1e6 * (nodes.stepMs - local.stepMs)) / wire.parameters;
    const name = `${workload}, coordinator and 2 nodes`;
    found.push(
      plain(atMost(`${name}: CPU of the wire`, 6, 4.5, 'ns a parameter and node'), wire?.cpuNsPerParameterAndNode),
      plain(atMost(`${name}: step beyond that of 2 workers`, 7, null, 'ns a parameter'), beyond),
      speedup(atLeast(`${name} against PyTorch DDP, 2 processes`, ddp, null), nodes, processes),
    );
  }

  const wide = { peer: 'lockstep', gemm: 'blas', batch: 512 } as const;
  const two = all('mlp', { ...wide, workers: 2, defaultShards: true })[0];
  const one = all('mlp', { ...wide, workers: 1, defaultShards: true })[0];
  found.push(
    speedup(atLeast('mlp, batch 512: 2 workers against 1, same S', 1.85, 1.95), two, one),
    speedup(
      atLeast('mlp, batch 512: 2 workers, default S, against the fastest 1-worker run of any S', 1.5, 1.75),
      two,
      fastest(all('mlp', { ...wide, workers: 1 })),
    ),
  );

  const standard = ours('mlp', 2);
  const fewest =
    standard && all('mlp', { peer: 'lockstep', gemm: 'blas', workers: 2, shards: 2, batch: standard.batch })[0];
  const cost = speedup(atMost('mlp, 2 workers: what the default S costs against S = 2', 15, 8, '%'), fewest, standard);
  found.push(
    cost &&
      judged(cost, 100 * (cost.value - 1), cost.spread && [100 * (cost.spread[0] - 1), 100 * (cost.spread[1] - 1)]),
  );

  found.push(
    speedup(
      atLeast('mlp, 1 worker against TensorFlow.js wasm', 40, null),
      ours('mlp', 1),
      all('mlp', { peer: 'tfjs' })[0],
    ),
    speedup(atLeast('mlp, 1 worker against jax-js wasm', 5, null), ours('mlp', 1), all('mlp', { peer: 'jax-js' })[0]),
    plain(atMost('AdamW kernel, 1 M parameters, 1 thread', 1, 0.6, 'ns a parameter'), extras.adamwNsPerParameter),
    plain(
      atMost('SGD momentum kernel, 1 M parameters, 1 thread', 0.45, null, 'ns a parameter'),
      extras.momentumNsPerParameter,
    ),
    plain(
      atMost('JavaScript heap growth over 10,000 steps', 1, null, 'MiB'),
      extras.heapGrowthBytes === undefined ? undefined : extras.heapGrowthBytes / 2 ** 20,
    ),
    plain(atMost('allocation a step and worker', 1024, null, 'bytes'), extras.allocatedBytesPerStepAndWorker),
    plain(atMost('time from the command to the first step (MNIST)', null, 1, 's'), extras.firstStepSeconds),
  );
  return found.filter((ratio) => ratio !== undefined);
}

function atLeast(name: string, must: number, aim: number | null, unit = 'x'): Claim {
  return { name, sense: 'atLeast', must, aim, unit };
}

function atMost(name: string, must: number | null, aim: number | null, unit: string): Claim {
  return { name, sense: 'atMost', must, aim, unit };
}

function plain(claim: Claim, value: number | undefined): Ratio | undefined {
  return value === undefined ? undefined : judged(claim, value, null);
}

/**
 * How many times the samples/s of `b` those of `a` are: the median of the ratios within each round, for a machine that slows down for a while
 * slows both.
 */
function speedup(claim: Claim, a: Result | undefined, b: Result | undefined): Ratio | undefined {
  if (!a || !b) return undefined;
  const scale = a.batch / b.batch;
  const rounds = a.roundsMs.slice(0, b.roundsMs.length).map((ms, i) => (scale * b.roundsMs[i]) / ms);
  if (rounds.length === 0) return judged(claim, a.samplesPerSec / b.samplesPerSec, null);
  const ratio = judged(claim, median(rounds), [Math.min(...rounds), Math.max(...rounds)]);
  const byDistance = kindsOf(rounds, a.coreDistancesNs ?? []);
  return byDistance.length < 2 ? ratio : { ...ratio, byDistance };
}

/** The median of the rounds in which two cores were near to each other, and of those in which they were far. */
function kindsOf(rounds: readonly number[], distances: readonly (number | null)[]): NonNullable<Ratio['byDistance']> {
  const known = rounds.flatMap((value, i) => (typeof distances[i] === 'number' ? { value, ns: distances[i] } : []));
  const nearest = Math.min(...known.map(({ ns }) => ns));
  return [false, true].flatMap((far) => {
    const kind = known.filter(({ ns }) => isFar(ns, nearest) === far);
    if (kind.length === 0) return [];
    return { ns: median(kind.map(({ ns }) => ns)), value: median(kind.map(({ value }) => value)), rounds: kind.length };
  });
}

/** Share of twice the samples/s of one worker that two have. */
function efficiencyOf(claim: Claim, two: Result | undefined, one: Result | undefined): Ratio | undefined {
  const ratio = speedup(claim, two, one);
  if (!ratio) return undefined;
  const byDistance = ratio.byDistance?.map((kind) => ({ ...kind, value: kind.value / 2 }));
  const half = judged(claim, ratio.value / 2, ratio.spread && [ratio.spread[0] / 2, ratio.spread[1] / 2]);
  return byDistance ? { ...half, byDistance } : half;
}

/** Met is what must be, or where nothing must be, what is aimed at. */
function judged(claim: Claim, value: number, spread: Ratio['spread']): Ratio {
  const limit = claim.must ?? claim.aim ?? Number.NaN;
  const met = claim.sense === 'atLeast' ? value >= limit : value <= limit;
  return { ...claim, value, spread, met };
}
