import { assignBySpeed, type ShardRange, timeOf } from './assignment.ts';
import { type MemberCosts, type Question, shortestDivision, stepMs } from './division.ts';
import { sumsIn } from './tree-sums.ts';

/** Who takes part in a run, and how fast each is. Plain data; every change is a new value with the next epoch. */
export interface Membership {
  /** Counts the changes of who takes part. */
  readonly epoch: number;
  readonly members: readonly Member[];
  /** How the shards of a whole step were divided last: by member, in their order. */
  readonly ranges: readonly ShardRange[];
  /** When another division was looked for last. */
  readonly considered?: Considered;
}

/** What the members cost then, how many rounds ago that was, and how many may pass until it is worth another look. */
interface Considered {
  readonly costs: readonly MemberCosts[];
  readonly rounds: number;
  readonly wait: number;
}

export interface Member {
  readonly id: number;
  /** Threads: what is known of its speed before anything is measured. */
  readonly workers: number;
  /** Shards a second, as measured where that takes long enough to say something; absent before. */
  readonly speed?: Mean;
  /** Milliseconds of a shard on each of its workers, however short. */
  readonly shardMs?: Mean;
  /** Milliseconds of a partial sum on its way; absent, too, where the sums of a step do not depend on who has which shards. */
  readonly sumMs?: Mean;
}

/** Of measurements, of which the first, in which code is compiled, counts for nothing. */
export interface Mean {
  readonly count: number;
  readonly value: number;
}

export const NOBODY: Membership = { epoch: 0, members: [], ranges: [] };

/** A new member, at a place in the order of the members: by default the last. */
export function join(before: Membership, member: Member, place = before.members.length): Membership {
  const members = [...before.members.slice(0, place), member, ...before.members.slice(place)];
  return { epoch: before.epoch + 1, members, ranges: [] };
}

/** Without a member; as before if it is none. */
export function leave(before: Membership, id: number): Membership {
  const members = before.members.filter((m) => m.id !== id);
  return members.length === before.members.length ? before : { epoch: before.epoch + 1, members, ranges: [] };
}

/** Weight of the newest measurement. */
const NEWEST = 0.1;
/** Measurements before they count: of speed, and of sums, of which the network says much the same each time. */
const [ENOUGH, ENOUGH_SUMS] = [8, 4];
/** What takes less is mostly waking threads up: a member with few shards would seem slow, and be given fewer still. */
const SHORTEST_MS = 5;
/** A connection that stands still for once does not make a sum so many times as long. */
const MOST_LONGER = 2;

/** What a member did in a round. */
export interface Work {
  readonly shards: number;
  readonly ms: number;
  /** Of each of its partial sums on its way, where that is known. */
  readonly sumMs?: number | undefined;
}

/** A member has done its part of a round. */
export function measured(before: Membership, id: number, { shards, ms, sumMs }: Work): Membership {
  const next = (m: Member): Member => {
    if (m.id !== id) return m;
    const shardMs = ms > 0 && mean(m.shardMs, ms / Math.ceil(shards / m.workers));
    const most = isKnown(m.sumMs) ? MOST_LONGER * m.sumMs.value : Number.POSITIVE_INFINITY;
    return {
      ...m,
      ...(shardMs && { shardMs }),
      ...(ms >= SHORTEST_MS && { speed: mean(m.speed, (1000 * shards) / ms) }),
      ...(sumMs !== undefined && { sumMs: mean(m.sumMs, Math.min(most, sumMs)) }),
    };
  };
  return { ...before, members: before.members.map(next) };
}

/** With a further measurement: the mean of the first few, then mostly as before. */
function mean(before: Mean | undefined, now: number): Mean {
  const { count, value } = before ?? { count: 0, value: now };
  const newest = Math.max(NEWEST, 1 / Math.max(1, count));
  return { count: count + 1, value: value + newest * (now - value) };
}

const isKnown = (sumMs: Mean | undefined): sumMs is Mean => sumMs !== undefined && sumMs.count >= ENOUGH_SUMS;

/** So much shorter a step must become before shards move: speeds waver, and a slow node that has fewer shards may seem slower still. */
const WORTH_MOVING = 0.7;
/** The same where it is known what sums take, of the whole step; and where there are fewer of them. */
const [WORTH_MORE_SUMS, WORTH_FEWER_SUMS] = [0.85, 0.9];
/** Costs that have moved by less are the same. */
const SAME_COSTS = 1.1;
/** Rounds between two looks for another division: often at first, when means move, then seldom, for a look takes up to milliseconds. */
const [FIRST_WAIT, LONGEST_WAIT] = [4, 16];

/**
 * Divides all shards of a step among the members: as last time, unless by what was measured another division makes the step much shorter. Who
 * computes what changes no bit of the result.
 */
export function divide(before: Membership, shards: number): Membership {
  const { members, ranges, considered } = before;
  const whole = { first: 0, count: shards };
  const speeds = speedsOf(members);
  const covers = ranges.length === members.length && ranges.reduce((sum, r) => sum + r.count, 0) === shards;
  const costs = costsOf(members);
  if (costs === undefined) {
    const bySpeed = assignBySpeed(whole, speeds);
    if (covers && timeOf(bySpeed, speeds) >= WORTH_MOVING * timeOf(ranges, speeds)) return before;
    return { ...before, ranges: bySpeed };
  }
  if (covers && considered && !isStale(considered, costs)) {
    return { ...before, considered: { ...considered, rounds: considered.rounds + 1 } };
  }
  const bySpeed = assignBySpeed(whole, speeds);
  const question: Question = {
    shards,
    range: whole,
    members: costs,
    least: bySpeed.map(({ count }) => Math.min(1, count)),
  };
  const now = covers ? ranges : bySpeed;
  const best = betterOf(question, bySpeed, shortestDivision(question));
  const wait = considered ? Math.min(LONGEST_WAIT, 2 * considered.wait) : FIRST_WAIT;
  return { ...before, ranges: isWorthMoving(question, now, best) ? best : now, considered: { costs, rounds: 1, wait } };
}

const isStale = ({ rounds, wait, costs }: Considered, now: readonly MemberCosts[]): boolean =>
  rounds >= wait && !areNear(now, costs);

function isWorthMoving(question: Question, from: readonly ShardRange[], to: readonly ShardRange[]): boolean {
  const sums = (ranges: readonly ShardRange[]) =>
    ranges.reduce((sum, { first, count }) => sum + sumsIn(question.shards, first, first + count), 0);
  const worth = sums(to) < sums(from) ? WORTH_FEWER_SUMS : WORTH_MORE_SUMS;
  return stepMs(question, to) < worth * stepMs(question, from);
}

/** Divides a run of shards that somebody lost has left among these members: each sum of them comes beside those of what they have. */
export function divideAmong(members: readonly Member[], range: ShardRange, shards: number): ShardRange[] {
  const bySpeed = assignBySpeed(range, speedsOf(members));
  const costs = costsOf(members);
  if (costs === undefined) return bySpeed;
  const question: Question = { shards, range, members: costs, least: members.map(() => 0) };
  return betterOf(question, bySpeed, shortestDivision(question));
}

/** The first where both are equally good. */
function betterOf(question: Question, one: ShardRange[], other: ShardRange[] | undefined): ShardRange[] {
  return other && stepMs(question, other) < stepMs(question, one) * (1 - 1e-9) ? other : one;
}

/** Measured speeds where all have been measured often enough, else threads. */
function speedsOf(members: readonly Member[]): number[] {
  const known = areMeasured(members);
  return members.map(({ speed, workers }) => (known ? (speed?.value ?? workers) : workers));
}

const areMeasured = (members: readonly Member[]): boolean =>
  members.every(({ speed }) => speed !== undefined && speed.count >= ENOUGH);

/** In milliseconds, where enough is known: who has not been measured is like the others. */
function costsOf(members: readonly Member[]): MemberCosts[] | undefined {
  const sums = members.flatMap(({ sumMs }) => (isKnown(sumMs) ? [sumMs.value] : []));
  const times = members.flatMap(({ shardMs }) => (shardMs ? [shardMs.value] : []));
  if (sums.length === 0 || times.length === 0) return undefined;
  const [ofSum, ofShard] = [average(sums), average(times)];
  const own = areMeasured(members);
  return members.map(({ workers, shardMs, sumMs }) => ({
    workers,
    shardMs: own && shardMs ? shardMs.value : ofShard,
    sumMs: isKnown(sumMs) ? sumMs.value : ofSum,
  }));
}

const average = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;

function areNear(some: readonly MemberCosts[], others: readonly MemberCosts[]): boolean {
  const near = (a: number, b: number) => a <= b * SAME_COSTS && b <= a * SAME_COSTS;
  return some.every(({ shardMs, sumMs }, i) => near(shardMs, others[i].shardMs) && near(sumMs, others[i].sumMs));
}
