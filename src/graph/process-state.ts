/**
 * What graph building keeps between calls, once a process: a job module and the CLI may each have loaded their own copy of
 * this package (a TypeScript job through tsx), and tensors of both must fit into one graph.
 */
interface ProcessState {
  nextId: number;
  nextSalt: number;
  /** Layer path that new tensors and errors carry. */
  readonly scopes: string[];
  /** The model being traced (src/nn/trace.ts). */
  trace: unknown;
}

const KEY = Symbol.for('lockstep.graph.state');

export const processState: ProcessState = state();

function state(): ProcessState {
  const holder = globalThis as { [KEY]?: ProcessState };
  holder[KEY] ??= { nextId: 0, nextSalt: 0, scopes: [], trace: undefined };
  return holder[KEY];
}
