/** A cell of a table of results. */
export type Cell = number | string | boolean | null;

/** Raw results: one row a run. Numbers that JSON lacks are written as strings by the journal's rule. */
export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

/** What the experiments of the suite may use. */
export interface Laboratory {
  /** Trainings at a time. */
  readonly cores: number;
  readonly signal?: AbortSignal;
  /** Fewer seeds and steps: to see that an experiment works. Its verdict means nothing. */
  readonly quick: boolean;
}

export interface Experiment {
  readonly id: string;
  /** What is done, in a sentence or two. */
  readonly about: string;
  run(laboratory: Laboratory): Promise<Table> | Table;
}

export type Verdict = 'holds' | 'holds partly' | 'does not hold';

export interface Judgement {
  readonly verdict: Verdict;
  /** With the numbers that decide. */
  readonly because: string;
}

/** A sentence of the textbook. */
export interface Claim {
  readonly id: string;
  /** Chapter of the page, 1 to 10. */
  readonly chapter: number;
  readonly text: string;
  /** The experiment whose raw results decide it, and the rule. */
  readonly test: { readonly experiment: string; judge(table: Table): Judgement };
}
