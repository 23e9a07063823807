import type { NodePhase } from './events.ts';
import { type Member, phaseOf } from './member.ts';

/** A step's deadline by itself: so many times the longest so far, and at least so long; the first may compile and warm up. */
const PATIENCE = 20;
const SHORTEST_DEADLINE_MS = 60_000;
const FIRST_DEADLINE_MS = 600_000;
/** When a round takes so many times as long as usual, who is late is said. */
const LATE = 5;
const LATE_AT_LEAST_MS = 2_000;

/** How long members may take for their shards of a round: as told, or learnt from how long they took. In milliseconds; pure. */
export class Patience {
  readonly #stepMs: number;
  #longestMs = 0;

  /** `stepMs`: as told; 0: learnt. */
  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  /** A member took so long. */
  learn(ms: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
  }

  /** Whoever takes longer is given up. */
  get deadlineMs(): number {
    if (this.#stepMs > 0) return this.#stepMs;
    return this.#longestMs === 0 ? FIRST_DEADLINE_MS : Math.max(SHORTEST_DEADLINE_MS, PATIENCE * this.#longestMs);
  }

  /** Whoever takes longer is named. */
  get usualMs(): number {
    return Math.max(LATE_AT_LEAST_MS, LATE * this.#longestMs);
  }

  /** Who is to be given up, and why. */
  tooLate<M extends Pick<Member, 'parts'>>(members: Iterable<M>, now: number): { member: M; reason: string }[] {
    return [...members].flatMap((member) => {
      const late = member.parts.find(({ sentAt }) => now - sentAt > this.deadlineMs);
      if (!late) return [];
      const shards = `shards ${late.first} to ${late.first + late.count - 1}`;
      return [{ member, reason: `no answer for ${shards} within ${Math.round(now - late.sentAt)} ms` }];
    });
  }

  /** Who takes unusually long, at what, and since when. */
  late(members: Iterable<Member>, now: number): { name: string; phase: NodePhase; ms: number }[] {
    return [...members].flatMap((member) => {
      const ms = Math.round(now - Math.min(...member.parts.map(({ sentAt }) => sentAt)));
      return ms > this.usualMs ? [{ name: member.name, phase: phaseOf(member), ms }] : []; // without parts: -Infinity
    });
  }
}
