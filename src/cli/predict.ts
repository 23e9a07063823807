import { LockstepError } from '../errors.ts';
import { nodePlatform } from '../predict/node-platform.ts';
import { loadPredictor, type OpenPredictor } from '../predict/predictor.ts';
import { csvLine } from './csv-line.ts';
import type { Io } from './io.ts';
import { predictionColumns } from './prediction-columns.ts';
import { type TableOptions, type TablePiece, tableRows } from './table-rows.ts';

export interface PredictCommandOptions extends TableOptions {
  readonly json?: boolean;
  /** Print the prediction columns without those of the input. */
  readonly only?: boolean;
  readonly best?: string;
}

/** `lockstep predict <model> <data>`: reads rows, prints rows with answers, in bounded memory and in order. */
export async function predictCommand(
  model: string,
  data: string,
  options: PredictCommandOptions,
  io: Io,
): Promise<void> {
  const predictor = await loadPredictor(model, options.best === undefined ? {} : { best: options.best }, nodePlatform);
  try {
    const print = options.json ? printJson(predictor, io) : printCsv(predictor, options, io);
    for await (const piece of tableRows(data, predictor.encoder, options, io.stop)) await print(piece);
  } finally {
    predictor.dispose();
  }
}

type Print = (piece: TablePiece) => Promise<void>;

function printJson(predictor: OpenPredictor, io: Io): Print {
  return async ({ rows, place }) => {
    const answers = await predictor.predictAt(rows, place);
    await io.write(answers.map((answer) => `${JSON.stringify(answer)}\n`).join(''));
  };
}

function printCsv(predictor: OpenPredictor, { only = false, delimiter = ',' }: PredictCommandOptions, io: Io): Print {
  const { names, cells } = predictionColumns(predictor.outputs);
  let begun = false;
  return async ({ rows, header, records, place }) => {
    const keep = only ? [] : header;
    if (!begun) {
      begun = true;
      refuseSameNames(keep, names);
      await io.write(csvLine([...keep, ...names], delimiter));
    }
    const answers = await predictor.predictAt(rows, place);
    const lines = answers.map((answer, i) => csvLine([...(only ? [] : records[i]), ...cells(answer)], delimiter));
    await io.write(lines.join(''));
  };
}

function refuseSameNames(header: readonly string[], names: readonly string[]): void {
  const same = names.find((name) => header.includes(name));
  if (same === undefined) return;
  throw new LockstepError('E_OPTION', {
    where: 'columns of the result',
    expected: 'names that differ',
    got: `"${same}" in the data too`,
    fix: 'print the predictions alone: --only',
  });
}
