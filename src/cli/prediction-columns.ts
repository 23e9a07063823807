import type { Answer, BinaryAnswer, Classification, OutputMeaning, Prediction } from '../predict/answer.ts';

/** Answers as columns of a table. */
export interface PredictionColumns {
  readonly names: readonly string[];
  cells(prediction: Prediction): (string | number)[];
}

/** More classes than this have no column each: the table would be all probabilities. */
const MOST_CLASS_COLUMNS = 100;

/**
 * The columns of all outputs: `prediction`, for classes also `probability` (that of the prediction; of yes for yes-or-no answers) and
 * `probability_<class>`. Several outputs: `<output>.prediction` ...; several numbers a row: `prediction_0`, `prediction_1` ...
 */
export function predictionColumns(outputs: readonly OutputMeaning[]): PredictionColumns {
  const several = outputs.length > 1;
  const columns = outputs.map((meaning) => {
    const prefix = several ? `${meaning.name}.` : '';
    const one = columnsOf(meaning);
    return { meaning, one, names: positions(meaning).flatMap((at) => one.map((c) => `${prefix}${c.name}${at}`)) };
  });
  return {
    names: columns.flatMap((c) => c.names),
    cells(prediction) {
      return columns.flatMap(({ meaning, one }) => {
        const answer = several ? Reflect.get(prediction, meaning.name) : prediction;
        return leaves(meaning, answer as Answer).flatMap((leaf) => one.map((c) => c.cell(leaf)));
      });
    },
  };
}

type Leaf = Classification | BinaryAnswer | number;

interface Column {
  readonly name: string;
  cell(leaf: Leaf): string | number;
}

function columnsOf({ kind, classNames = [] }: OutputMeaning): Column[] {
  if (kind === 'regression') return [{ name: 'prediction', cell: (leaf) => (typeof leaf === 'number' ? leaf : '') }];
  const prediction: Column = {
    name: 'prediction',
    cell: (leaf) => (typeof leaf === 'number' ? '' : (leaf.className ?? leaf.label)),
  };
  if (kind === 'binary') {
    return [
      prediction,
      {
        name: 'probability',
        cell: (leaf) => (typeof leaf === 'object' && 'probability' in leaf ? leaf.probability : ''),
      },
    ];
  }
  const probability = (className: (leaf: Classification) => string) => (leaf: Leaf) =>
    typeof leaf === 'object' && 'probabilities' in leaf ? leaf.probabilities[className(leaf)] : '';
  const classes = classNames.length > MOST_CLASS_COLUMNS ? [] : classNames;
  return [
    prediction,
    { name: 'probability', cell: probability((leaf) => leaf.className) },
    ...classes.map((name): Column => ({ name: `probability_${name}`, cell: probability(() => name) })),
  ];
}

/** Suffixes of the columns: one for each answer of a row. */
function positions({ kind, shape }: OutputMeaning): string[] {
  const axes = kind === 'classification' ? shape.slice(0, -1) : shape.length === 1 && shape[0] === 1 ? [] : shape;
  return axes.reduce<string[]>(
    (names, size) => names.flatMap((name) => Array.from({ length: size }, (_, i) => `${name}_${i}`)),
    [''],
  );
}

/** The answers of a row one by one, in the order of the columns. */
function leaves({ kind }: OutputMeaning, answer: Answer): Leaf[] {
  const found: Leaf[] = [];
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) walk(item);
    else found.push(value as Leaf);
  };
  walk(kind === 'regression' && 'value' in answer ? answer.value : answer);
  return found;
}
