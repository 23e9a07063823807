import type { MachineBlock } from './machine.ts';
import type { Extras } from './ratios.ts';

/** What a measurement beside the rounds gets, and what it gives. */
export interface ExtraContext {
  /** A folder for its files; the bench deletes it. */
  readonly folder: string;
  readonly machine: MachineBlock;
}

export interface ExtraOutcome {
  /** Figures for the claims. */
  readonly extras: Extras;
  /** All figures, for the JSON. */
  readonly figures: unknown;
  /** The same for people. */
  readonly notes: readonly string[];
}
