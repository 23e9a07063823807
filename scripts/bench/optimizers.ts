/**
 * The optimizers alone: every one with a fused kernel at 1 M and 16 M parameters on 1 and 2 threads, beside PyTorch's (foreach) and the
 * memory limit; and the share of a step that the matrix optimizers take.
 */
import { z } from 'zod';
import { formatTable } from '../../src/cli/format.ts';
import { adam, muon, type OptimizerDescription, shampoo, soap } from '../../src/index.ts';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { torchName } from './machine.ts';
import { OPTIMIZER_CASES } from './optimizer-cases.ts';
import { missingPeer, script, torchCommand } from './peers.ts';
import { PeerProcess, RunReply } from './protocol.ts';
import { type Slice, summarize } from './statistics.ts';

const ROUNDS = 3;
const SIZES = [
  { parameters: 1_000_000, seconds: 0.06 },
  { parameters: 16_000_000, seconds: 0.12 },
] as const;
const THREADS = [1, 2] as const;

/** One optimizer at one size on so many threads; nanoseconds a parameter. */
interface Figure {
  readonly optimizer: string;
  readonly parameters: number;
  readonly threads: number;
  readonly ns: number;
  /** Smallest and largest median of a round. */
  readonly spread: readonly [number, number];
  /** What reading and writing its vectors takes at the speed of x + x in place over as much memory. */
  readonly memoryLimitNs: number;
  readonly bytesAParameter: number;
  readonly torchNs: number | null;
}

/** Matrices beside which the update of Muon and Shampoo is measured. */
const SHARE_SIZES = [784, 512, 512, 10] as const;
const SHARE_BATCH = 128;
const SHARE_STEPS = 30;
const SHARES: readonly OptimizerDescription[] = [adam(), muon(), shampoo({ lr: 0.01 }), soap({ lr: 3e-3 })];
const ShareReply = z.object({ stepMs: z.number(), updateMs: z.number() });

export async function measureOptimizers({ machine }: ExtraContext): Promise<ExtraOutcome> {
  const notes: string[] = [];
  const ours = new PeerProcess(script('lockstep optimizers', 'optimizer-peer', [], {}));
  const missing = missingPeer('torch');
  const torch = new Map<number, PeerProcess>();
  if (missing === undefined) {
    for (const threads of THREADS) torch.set(threads, new PeerProcess(torchCommand({ processes: 1, threads })));
    machine.peers.torch ??= torchName('');
  } else notes.push(`optimizers of PyTorch: ${missing}`);
  try {
    const figures: Figure[] = [];
    for (const { parameters, seconds } of SIZES) {
      for (const threads of THREADS)
        figures.push(...(await race(ours, torch.get(threads), parameters, threads, seconds)));
    }
    const shares = await measureShares(ours);
    notes.unshift(...tables(figures), '', ...shares.map(describeShare));
    const figureOf = (name: string) =>
      figures.find((f) => f.optimizer === name && f.parameters === SIZES[0].parameters && f.threads === 1)?.ns;
    return {
      extras: { adamwNsPerParameter: figureOf('adamw'), momentumNsPerParameter: figureOf('momentum') },
      figures: { passes: figures, shares },
      notes,
    };
  } finally {
    await Promise.all([ours, ...torch.values()].map((process) => process.close()));
  }
}

async function race(
  ours: PeerProcess,
  torch: PeerProcess | undefined,
  parameters: number,
  threads: number,
  seconds: number,
): Promise<Figure[]> {
  const slices = OPTIMIZER_CASES.map(() => ({ ours: [] as Slice[], torch: [] as Slice[] }));
  /** By the number of slots: it decides how much memory is gone through. */
  const memory = new Map<number, Slice[]>(OPTIMIZER_CASES.map(({ description }) => [slotsOf(description), []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, { description, torch: other }] of OPTIMIZER_CASES.entries()) {
      const pass = { cmd: 'pass', description, parameters, threads };
      slices[i].ours.push(await ours.ask({ ...pass, seconds, memoryOnly: false }, RunReply));
      const limits = memory.get(slotsOf(description)) ?? [];
      if (limits.length === round) limits.push(await ours.ask({ ...pass, seconds, memoryOnly: true }, RunReply));
      if (!torch || !other) continue;
      const [name, options] = other;
      slices[i].torch.push(await torch.ask({ cmd: 'optimizer', name, options, parameters, seconds }, RunReply));
    }
  }
  const ns = (ms: number) => (1e6 * ms) / parameters;
  return OPTIMIZER_CASES.map(({ name, description }, i): Figure => {
    const { stepMs, spread } = summarize(slices[i].ours);
    const slots = slotsOf(description);
    // x + x reads and writes all of the (2 + slots) vectors, the update does not write the gradient.
    const floats = (2 + slots) * parameters;
    const nsAByte = (1e6 * summarize(memory.get(slots) ?? []).stepMs) / (8 * floats);
    const bytesAParameter = 4 * (3 + 2 * slots);
    return {
      optimizer: name,
      parameters,
      threads,
      ns: ns(stepMs),
      spread: [ns(spread[0]), ns(spread[1])],
      memoryLimitNs: nsAByte * bytesAParameter,
      bytesAParameter,
      torchNs: slices[i].torch.length === 0 ? null : ns(summarize(slices[i].torch).stepMs),
    };
  });
}

function slotsOf(description: OptimizerDescription): number {
  const { def, options } = resolveOptimizer(description);
  const init = { kind: 'constant', value: 0 } as const;
  return Object.keys(def.slots(options, { name: 'w', shape: [1], size: 1, offset: 0, init, group: 0 })).length;
}

interface Share {
  readonly optimizer: string;
  readonly stepMs: number;
  readonly updateMs: number;
}

async function measureShares(ours: PeerProcess): Promise<Share[]> {
  const shares: Share[] = [];
  for (const description of SHARES) {
    const request = { cmd: 'share', description, sizes: SHARE_SIZES, batch: SHARE_BATCH, steps: SHARE_STEPS };
    shares.push({ optimizer: description.kind, ...(await ours.ask(request, ShareReply)) });
  }
  return shares;
}

function describeShare({ optimizer, stepMs, updateMs }: Share): string {
  return (
    `${optimizer}, dense ${SHARE_SIZES.join('-')}, batch ${SHARE_BATCH}, 1 worker: update ${updateMs.toFixed(2)} ms of ` +
    `${stepMs.toFixed(2)} ms, ${Math.round((100 * updateMs) / stepMs)} % of the step`
  );
}

function tables(figures: readonly Figure[]): string[] {
  const header = ['ns a parameter', 'ours', 'rounds', 'memory limit', 'PyTorch', 'PyTorch / ours'];
  return SIZES.flatMap(({ parameters }) =>
    THREADS.flatMap((threads) => {
      const rows = figures
        .filter((f) => f.parameters === parameters && f.threads === threads)
        .map(({ optimizer, ns, spread, memoryLimitNs, torchNs }) => [
          optimizer,
          ns.toFixed(2),
          `${spread[0].toFixed(2)} - ${spread[1].toFixed(2)}`,
          memoryLimitNs.toFixed(2),
          torchNs === null ? '-' : torchNs.toFixed(2),
          torchNs === null ? '-' : (torchNs / ns).toFixed(1),
        ]);
      return [
        '',
        `${parameters / 1e6} M parameters, ${threads} thread${threads > 1 ? 's' : ''}`,
        ...formatTable(header, rows),
      ];
    }),
  );
}
