import type { NodePhase } from './events.ts';
import { type Member, phaseOf } from './member.ts';

/** A step's deadline by itself: so many times the longest so far, and at least so long; the first may compile and warm up. */
const PATIENCE = 20;
const SHORTEST_DEADLINE_MS = 60_000;
const FIRST_DEADLINE_MS = 600_000;
/** When a round takes so many times as long as usual, who is late is said. */
const LATE = 5;
const LATE_AT_LEAST_MS = 2_000;

/**
 * How long members may take for their shards of a round: as told, or learnt from how long they took. A round of more steps than any before, as
 * after a warm-up of local steps, may take as many times longer. In milliseconds; pure.
 */
export class Patience {
  readonly #stepMs: number;
  #longestMs = 0;
  /** Of a round, so far. */
  #mostSteps = 1;

  /** `stepMs`: as told; 0: learnt. */
  constructor(stepMs: number) {
    this.#stepMs = stepMs;
  }

  /** A member took so long for a round of so many steps. */
  learn(ms: number, steps: number): void {
    this.#longestMs = Math.max(this.#longestMs, ms);
    this.#mostSteps = Math.max(this.#mostSteps, steps);
  }

  /** Whoever takes longer for so many steps is given up. */
  deadlineMs(steps: number): number {
    if (this.#stepMs > 0) return this.#stepMs;
    if (this.#longestMs === 0) return FIRST_DEADLINE_MS;
    return Math.max(SHORTEST_DEADLINE_MS, PATIENCE * this.#longestFor(steps));
  }

  /** Whoever takes longer is named. */
  usualMs(steps: number): number {
    return Math.max(LATE_AT_LEAST_MS, LATE * this.#longestFor(steps));
  }

  #longestFor(steps: number): number {
    return this.#longestMs * Math.max(1, steps / this.#mostSteps);
  }

  /** Who is to be given up, and why. */
  tooLate<M extends Pick<Member, 'parts'>>(
    members: Iterable<M>,
    now: number,
    steps: number,
  ): { member: M; reason: string }[] {
    const deadlineMs = this.deadlineMs(steps);
    return [...members].flatMap((member) => {
      const late = member.parts.find(({ sentAt }) => now - sentAt > deadlineMs);
      if (!late) return [];
      const shards = `shards ${late.first} to ${late.first + late.count - 1}`;
      return [{ member, reason: `no answer for ${shards} within ${Math.round(now - late.sentAt)} ms` }];
    });
  }

  /** Who takes unusually long, at what, and since when. */
  late(members: Iterable<Member>, now: number, steps: number): { name: string; phase: NodePhase; ms: number }[] {
    const usualMs = this.usualMs(steps);
    return [...members].flatMap((member) => {
      const ms = Math.round(now - Math.min(...member.parts.map(({ sentAt }) => sentAt)));
      return ms > usualMs ? [{ name: member.name, phase: phaseOf(member), ms }] : []; // without parts: -Infinity
    });
  }
}
