/** What a {@link LockstepError} says: the place, what should be there, what is there, and what to do. */
export interface ErrorDetail {
  /** Place: file with line, option, layer, tensor, step ... */
  where: string;
  expected: string;
  got: string;
  /** What the user can do about it. */
  fix: string;
  cause?: unknown;
}

/**
 * The one error type that Lockstep throws on purpose. `code` is stable (docs/errors.md lists every code);
 * the message reads "where: expected X, got Y; what to do".
 */
export class LockstepError extends Error {
  readonly code: ErrorCode;
  readonly detail: Readonly<ErrorDetail>;

  constructor(code: ErrorCode, detail: ErrorDetail) {
    super(
      `${detail.where}: expected ${detail.expected}, got ${detail.got}; ${detail.fix}`,
      detail.cause === undefined ? undefined : { cause: detail.cause },
    );
    this.name = 'LockstepError';
    this.code = code;
    this.detail = detail;
  }
}

/** Every code with the sentence that docs/errors.md prints. Add a row here before you throw a new one. */
export const ERROR_CODES = {
  E_OPTION: 'An option is unknown or its value is out of range.',
  E_SHAPE: 'Tensor shapes do not fit together.',
  E_DTYPE: 'A tensor has the wrong element type.',
  E_MODEL: 'The model is not usable: duplicate names, no parameters, an output that does not exist.',
  E_LOSS: 'The loss is not usable with this model or data.',
  E_LABEL: 'A label lies outside the classes of the model.',
  E_DATA_FORMAT: 'A data file is damaged, truncated or of another format.',
  E_DATA_VALUE: 'A value in the data is not usable (no number, missing, infinite).',
  E_DATA_MISSING: 'A data file or field does not exist.',
  E_DATA_EMPTY: 'A data set or split has no rows.',
  E_DATA_SOURCE: 'Custom code that yields rows, or the thread that reads them from disk, failed.',
  E_JOB_LOAD: 'The job module does not load or exports no job.',
  E_JOB: 'The job is not valid.',
  E_CUSTOM_CODE: 'Custom code must be exported by a module so that workers can import it.',
  E_MEMORY: 'The job does not fit into memory.',
  E_KERNEL: 'A numeric kernel is missing or unusable on this machine.',
  E_WORKER: 'A worker failed or disappeared.',
  E_NON_FINITE: 'The loss or a gradient is not finite.',
  E_CHECK: 'A check of a job failed.',
  E_GRADIENT: 'A gradient rule does not agree with finite differences.',
  E_ABORTED: 'The run was stopped from outside.',
  E_RUN_DIR: 'The run folder cannot be used.',
  E_SINK: 'A place that records go to (a file, a page, a service) has not kept all of them.',
  E_DASHBOARD: 'The live page cannot be opened.',
  E_RESUME: 'A checkpoint belongs to another job than the one that should go on from it.',
  E_CHECKPOINT: 'A checkpoint or model file is damaged, incomplete or not of this kind.',
  E_PLACE: 'The environment does not say which rank of how many this process is, or contradicts itself.',
  E_LAUNCH: 'A host cannot take part: not reachable, without Node, project or job, or with other ones.',
  E_LISTEN: 'The coordinator cannot listen at this address or port.',
  E_UNREACHABLE: 'Another machine cannot be reached.',
  E_QUORUM: 'Too few nodes are left to go on.',
  E_REFUSED: 'Coordinator and node cannot work together: another token, version, job, data or kernels.',
  E_OUTPUT: 'What a command prints cannot be written.',
  E_EXPORT: 'A model cannot be written in the format asked for.',
  E_FRAME: 'A message from another machine is damaged, or not of this protocol.',
  E_CONNECTION: 'The connection to another machine cannot be made, or has ended.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** The closest known name to a misspelt one (Levenshtein distance at most 3), for "did you mean". */
export function closest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(4, Math.max(2, Math.ceil(name.length / 2)) + 1);
  for (const candidate of known) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
