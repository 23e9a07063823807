import { assignBySpeed, type ShardRange, timeOf } from './assignment.ts';

/** Who takes part in a run, and how fast each is. Plain data; every change is a new value with the next epoch. */
export interface Membership {
  /** Counts the changes of who takes part. */
  readonly epoch: number;
  readonly members: readonly Member[];
  /** How the shards of a whole step were divided last: by member, in their order. */
  readonly ranges: readonly ShardRange[];
}

export interface Member {
  readonly id: number;
  /** Threads: what is known of its speed before anything is measured. */
  readonly workers: number;
  /** How often it has been measured. */
  readonly measurements?: number;
  /** Shards a second, as measured; absent before. */
  readonly speed?: number;
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

/** Weight of the newest measurement of a member's speed. */
const NEWEST = 0.1;
/** Measurements before they count. */
const ENOUGH = 8;
/** What takes less is mostly waking threads up: a member with few shards would seem slow, and be given fewer still. */
const SHORTEST_MS = 5;

/** A member computed so many shards in such a time. The first measurement, in which code is compiled, counts for nothing. */
export function measured(before: Membership, id: number, shards: number, ms: number): Membership {
  if (!(ms >= SHORTEST_MS)) return before;
  const now = (1000 * shards) / ms;
  const next = (m: Member): Member => {
    if (m.id !== id) return m;
    const { measurements = 0, speed = now } = m;
    const newest = Math.max(NEWEST, 1 / Math.max(1, measurements)); // the mean of the first few
    return { ...m, measurements: measurements + 1, speed: measurements < 1 ? now : speed + newest * (now - speed) };
  };
  return { ...before, members: before.members.map(next) };
}

/** So much shorter a step must become before shards move: measurements waver, and a run of odd length travels as several sums. */
const WORTH_MOVING = 0.7;

/**
 * Divides all shards of a step among the members: as last time, unless by their speeds another division makes the step much shorter. Who
 * computes what changes no bit of the result.
 */
export function divide(before: Membership, shards: number): Membership {
  const speeds = speedsOf(before.members);
  const ideal = assignBySpeed({ first: 0, count: shards }, speeds);
  const { ranges } = before;
  const covers = ranges.length === before.members.length && ranges.reduce((sum, r) => sum + r.count, 0) === shards;
  if (covers && timeOf(ideal, speeds) >= WORTH_MOVING * timeOf(ranges, speeds)) return before;
  return { ...before, ranges: ideal };
}

/** Divides a run of shards that somebody lost has left among these members. */
export function divideAmong(members: readonly Member[], range: ShardRange): ShardRange[] {
  return assignBySpeed(range, speedsOf(members));
}

/** Measured speeds where all have been measured often enough, else threads. */
function speedsOf(members: readonly Member[]): number[] {
  const known = members.every(({ measurements = 0 }) => measurements >= ENOUGH);
  return members.map(({ speed, workers }) => (known ? (speed ?? workers) : workers));
}
