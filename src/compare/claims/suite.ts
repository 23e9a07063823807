import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { LockstepError } from '../../errors.ts';
import { toLine } from '../../record/jsonl.ts';
import { packageVersion } from '../../train/header.ts';
import { EXPERIMENTS } from '../claims.ts';
import type { Experiment } from './contract.ts';
import { LANDSCAPES } from './functions.ts';
import { renderClaims } from './page.ts';
import { drawPaths, pathsOn } from './paths.ts';
import { type ClaimsResults, claimsSchema } from './results.ts';

export const CLAIMS_JSON = 'claims.json';
export const CLAIMS_PAGE = 'which-optimizer.md';

export interface SuiteOptions {
  readonly runDir: string;
  /** Keep the experiments that runDir has results of. */
  readonly resume?: boolean;
  /** Fewer seeds, to see that everything works. */
  readonly quick?: boolean;
  readonly signal?: AbortSignal;
  /** Default: all. */
  readonly experiments?: readonly Experiment[];
  readonly onExperiment?: (event: { id: string; number: number; of: number; seconds?: number }) => void;
}

/**
 * Runs the experiments behind the claims. Results are written after each one, so that an abort keeps what is done; the page and the
 * pictures at the end.
 */
export async function runClaims(options: SuiteOptions): Promise<ClaimsResults> {
  const { runDir, signal, quick = false, experiments = EXPERIMENTS } = options;
  const earlier = await readEarlier(options, quick);
  const cores = availableParallelism();
  const results: ClaimsResults = {
    kind: 'lockstep-claims',
    version: 1,
    lockstep: packageVersion(),
    command: 'lockstep compare --suite claims',
    createdAt: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores,
      platform: `${process.platform}-${process.arch}`,
      node: process.versions.node,
    },
    quick,
    experiments: { ...earlier?.experiments },
  };
  await mkdir(runDir, { recursive: true });
  const save = () => writeFile(join(runDir, CLAIMS_JSON), rowsOnLines(results));
  for (const [index, experiment] of experiments.entries()) {
    const { id } = experiment;
    if (signal?.aborted) break;
    if (results.experiments[id]) continue;
    options.onExperiment?.({ id, number: index + 1, of: experiments.length });
    const started = performance.now();
    try {
      const table = await experiment.run({ cores, signal, quick });
      const seconds = (performance.now() - started) / 1000;
      if (signal?.aborted) break; // its last runs were cut short
      results.experiments[id] = {
        seconds,
        createdAt: new Date().toISOString(),
        cpu: results.machine.cpu,
        table: { columns: [...table.columns], rows: table.rows.map((row) => [...row]) },
      };
    } catch (error) {
      if (signal?.aborted) break;
      throw error;
    }
    await save();
  }
  await save();
  await writeFile(join(runDir, CLAIMS_PAGE), renderClaims(results, ''));
  for (const landscape of signal?.aborted ? [] : LANDSCAPES) {
    const paths = pathsOn(landscape, quick ? [0.01] : undefined);
    await writeFile(join(runDir, `paths-${landscape.name.toLowerCase()}.svg`), drawPaths(landscape, paths));
  }
  return results;
}

async function readEarlier({ runDir, resume }: SuiteOptions, quick: boolean): Promise<ClaimsResults | undefined> {
  if (!resume) return undefined;
  const path = join(runDir, CLAIMS_JSON);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch {
    return undefined; // nothing to go on with
  }
  try {
    const earlier = claimsSchema.parse(JSON.parse(text));
    return earlier.quick === quick ? earlier : undefined;
  } catch (cause) {
    throw new LockstepError('E_RUN_DIR', {
      where: path,
      expected: 'results of the suite of claims',
      got: 'something else',
      fix: 'name another folder with --run-dir, or leave --resume out',
      cause,
    });
  }
}

/** JSON with a row of results a line: diffs of it can be read. */
function rowsOnLines(results: ClaimsResults): string {
  const line = (value: unknown) => toLine(value).trimEnd();
  const { experiments, ...head } = results;
  const parts = Object.entries(experiments).map(([id, { table, ...made }]) => {
    const rows = table.rows.map((row) => `      ${line(row)}`).join(',\n');
    const fields = Object.entries(made).map(([name, value]) => `${line(name)}: ${line(value)}, `);
    return `    ${line(id)}: { ${fields.join('')}"table": { "columns": ${line(table.columns)}, "rows": [\n${rows}\n    ] } }`;
  });
  const fields = Object.entries(head).map(([name, value]) => `  ${line(name)}: ${line(value)},`);
  return `{\n${fields.join('\n')}\n  "experiments": {\n${parts.join(',\n')}\n  }\n}\n`;
}
