import { LockstepError } from '../errors.ts';
import { batchesOf } from '../parallel/inner-steps.ts';
import type { BadShard } from '../parallel/inspect.ts';
import { gatheredSums, roundWordsOf } from '../parallel/rounds.ts';
import { ROW_BUCKETS } from '../parallel/row-memory.ts';
import type { Session } from '../parallel/session.ts';
import { planGathered, planStep } from '../parallel/step-plan.ts';
import { samplerOf } from '../parallel/windows.ts';
import { MOST_BAD_IN_A_ROW } from '../parallel/worker-state.ts';
import type { StepRecord } from '../record/contract.ts';

/** Ids that a message lists before it says how many more there are. */
const MOST_IDS = 16;

/** A tensor with numbers that are not finite. */
export interface BadTensor {
  readonly name: string;
  readonly part: 'value' | 'gradient';
}

/**
 * Error of the step whose numbers broke: its first bad shard, that shard's rows, and the first bad tensor. `found` comes from
 * computing the shards once more; none when every shard by itself is sound (a sum that overflows, a driver's later pass).
 */
export function nonFiniteError(
  session: Session,
  { step, loss, gradNorm }: Pick<StepRecord, 'step' | 'loss' | 'gradNorm'>,
  found: BadShard | undefined,
  bad: BadTensor | undefined,
): LockstepError {
  const tensor = bad?.part === 'value' ? bad.name : (found?.tensor ?? bad?.name);
  return new LockstepError('E_NON_FINITE', {
    where: `step ${step}`,
    expected: 'a finite loss and gradient',
    got: [
      `loss ${loss}, gradient norm ${gradNorm}`,
      ...(found ? describeShard(session, step, found) : []),
      ...(tensor ? [`first bad tensor: ${tensor} (its ${bad?.part ?? 'gradient'})`] : []),
    ].join('; '),
    fix:
      session.nonFinite === 'skip'
        ? `too many bad steps in a row (${MOST_BAD_IN_A_ROW} were skipped): lower the learning rate, clip: { globalNorm: 1 }, or look at those rows; the parameters are those before this step`
        : "lower the learning rate, clip: { globalNorm: 1 }, look at those rows, or nonFinite: 'skip'; the parameters are those before this step",
  });
}

function describeShard(session: Session, step: number, { shard, rows }: BadShard): string[] {
  const ids = idsOf(session, step, shard);
  const bad = rows.map((row) => ids[row]);
  return [
    `shard ${shard}, rows ${list(ids)} of the training split`,
    ...(bad.length > 0 ? [`inputs that are not finite in row${bad.length > 1 ? 's' : ''} ${list(bad)}`] : []),
  ];
}

/** Ids of a shard's rows in the training split, in the order of the shard. */
function idsOf(session: Session, step: number, shard: number): number[] {
  const { train } = session.splits;
  const ids = new Int32Array(session.batchSize);
  const count = samplerOf(session).ids(step, shard, session.shards, ids);
  return Array.from(ids.subarray(0, count), (id) => (train?.kind === 'computed' && train.ids ? train.ids[id] : id));
}

function list(ids: readonly number[]): string {
  return `${ids.slice(0, MOST_IDS).join(', ')}${ids.length > MOST_IDS ? ` and ${ids.length - MOST_IDS} more` : ''}`;
}

/** The first tensor that has a bad value, else whose gradient over the whole batch is bad; read from what lies in the arena. */
export function badTensor(session: Session, step: number): BadTensor | undefined {
  const { tensors, layout } = session;
  const batches = batchesOf(session, samplerOf(session), step);
  const { gradient } =
    session.part === 'coordinator'
      ? planGathered(session, batches, gatheredSums(session, roundWordsOf(session)))
      : planStep(session, 0, batches[0]);
  const value = tensors.find((t) => hasBad(session, layout.parameters + 4 * t.offset, t.size));
  if (value !== undefined) return { name: value.name, part: 'value' };
  const flat = tensors.find((t) => !t.sparse && hasBad(session, gradient + 4 * t.offset, t.size));
  const name = flat?.name ?? badTable(session);
  return name === undefined ? undefined : { name, part: 'gradient' };
}

/** The first sparse table whose merged rows are bad. */
function badTable(session: Session): string | undefined {
  const { rowTables, layout, memory, tensors } = session;
  const bad = rowTables.find(({ width }, i) => {
    const { places, rows } = layout.rows.tables[i];
    const ranges = new Int32Array(memory.buffer, places, 2 * ROW_BUCKETS);
    for (let b = 0; b < ROW_BUCKETS; b++) {
      const [start, count] = ranges.subarray(2 * b, 2 * b + 2);
      if (hasBad(session, rows + 4 * width * start, width * count)) return true;
    }
    return false;
  });
  return bad && tensors[bad.tensor].name;
}

function hasBad({ memory }: Session, address: number, size: number): boolean {
  return !new Float32Array(memory.buffer, address, size).every(Number.isFinite);
}
