import { damaged, quote } from '../checkpoint/damage.ts';
import { type Manifest, tensorTable } from '../checkpoint/manifest.ts';
import type { StoredModel } from '../checkpoint/model-file.ts';
import { compilePrediction, predictionRows } from '../checkpoint/prediction-graph.ts';
import type { FieldInfo } from '../data/contract.ts';
import { Encoder } from '../data/transforms.ts';
import { LockstepError } from '../errors.ts';
import type { Program } from '../graph/program.ts';
import type { KernelFiles } from '../kernels/kernel-files.ts';
import {
  type AnswerKind, answerReader, type BinaryAnswer, type Classification, headsOf, meaningOf, type OutputMeaning, type Prediction,
  type Regression, requireKind,
} from './answer.ts'; // biome-ignore format: a list
import { Batcher, type BatchRunner } from './batcher.ts';
import { type GenerateOptions, generateText, type NextToken } from './generate.ts';
import { type DecodeRows, rowDecoder } from './image-rows.ts';
import { type Machine, openMachine } from './machine.ts';
import type { KernelInfo, ModelSource, Platform } from './platform.ts';
import { RowEncoder, type RowPlace } from './row-encoder.ts';
import { createScheduler } from './scheduler.ts';

/** A raw row by column name, as a line of the CSV or a record has it; arrays (flat, nested or typed) for images and other tensors. */
export type Row = Readonly<Record<string, unknown>>;

/** What a model of one output answers. */
export interface AnswersByKind {
  classification: Classification;
  binary: BinaryAnswer;
  regression: Regression;
}

export interface PredictorOptions<K extends AnswerKind = AnswerKind> {
  /** What the answers must be; loading another model is an error, and the types know it. Default: whatever the model gives. */
  readonly kind?: K;
  /** Node: of a run's checkpoints take the best by this metric ('val.loss', 'val.accuracy'), not the newest. */
  readonly best?: string;
  /** Plain simd128 kernels and no BLAS: the same bits on any machine. Default: as the job said (deterministic: 'portable'). */
  readonly portable?: boolean;
  /** The wasm files, where they are not beside the code: needed in most bundles. */
  readonly kernels?: KernelFiles;
}

/**
 * A trained model that answers raw rows: the transforms that were fitted in training, the model, and what its outputs mean. The
 * answer for a row is the same, to the bit, alone or among others, here and in `lockstep predict` and `lockstep eval`.
 */
export interface Predictor<A = Prediction> {
  /**
   * Answers one row, or rows in their order. Calls that come together are computed together. Do not change the rows before the promise
   * settles; they are not copied.
   *
   * @throws LockstepError (the promise rejects) that names row and column: E_DATA_MISSING, E_DATA_VALUE, E_LABEL, E_SHAPE. Rows of other
   * calls are not affected.
   */
  predict(row: Row): Promise<A>;
  predict(rows: readonly Row[]): Promise<A[]>;
  /**
   * Continues a text, for models of the next token: trained on `text(...)`, causal, with cross-entropy of the logits at each position. Gives
   * what was added; `options` say how many tokens and how they are drawn.
   *
   * @throws LockstepError (the promise rejects) E_OPTION, also where the model is of another kind; E_DATA_VALUE for a token of the prompt
   * that the training text lacks; E_ABORTED.
   */
  generate(prompt: string, options?: GenerateOptions): Promise<string>;
  /** Columns that a row must have. */
  readonly columns: readonly string[];
  /** Outputs of the model and what they mean. */
  readonly outputs: readonly OutputMeaning[];
  /** Which kernels compute. */
  readonly kernels: KernelInfo;
  /** Everything that was saved with the model. */
  readonly manifest: Manifest;
  /** Gives the memory back. Calls that wait fail; so do later ones. */
  dispose(): void;
}

/** Loads predictors: `Predictor.load('runs/a')`. */
export interface PredictorLoader {
  /**
   * @param source bytes of a model file (`lockstep export`); in Node also the folder of a run (its newest whole checkpoint), its checkpoints
   * folder, one checkpoint, or a model file.
   * @throws LockstepError E_CHECKPOINT if there is no whole model, E_KERNEL if the wasm files are not found, E_MEMORY, E_OPTION.
   */
  load<K extends AnswerKind>(
    source: ModelSource,
    options: PredictorOptions<K> & { kind: K },
  ): Promise<Predictor<AnswersByKind[K]>>;
  load(source: ModelSource, options?: PredictorOptions): Promise<Predictor>;
}

/** A predictor with what the commands need beside the public part. */
export interface OpenPredictor extends Predictor {
  readonly encoder: RowEncoder;
  /** As `predict`, for rows that stand somewhere: `place` names a row in messages. Columns are not checked for strange ones. */
  predictAt(rows: readonly Row[], place: RowPlace): Promise<Prediction[]>;
}

/** Memory for what a batch needs beside the parameters; larger batches are left out. */
const MOST_BATCH_BYTES = 512 * 2 ** 20;

export async function loadPredictor(
  source: ModelSource,
  options: PredictorOptions,
  platform: Platform,
): Promise<OpenPredictor> {
  checkOptions(options);
  const stored = await platform.readModel(source, options.best === undefined ? {} : { best: options.best });
  return openPredictor(stored, options, platform);
}

/** The same for a model that is in memory. */
export async function openPredictor(
  { manifest, parameters }: StoredModel,
  options: PredictorOptions,
  platform: Platform,
): Promise<OpenPredictor> {
  const portable = options.portable ?? isPortable(manifest);
  const kernels = await platform.openKernels({ portable, files: options.kernels ?? {} });
  const fields: FieldInfo[] = manifest.fields.map(fieldInfo);
  const programs = programsOf(manifest, fields);
  const transforms = new Encoder(manifest.transforms);
  const meanings = meaningOf({
    loss: manifest.loss,
    fields,
    parts: (field) => transforms.parts(field),
    outputs: programs[0].outputs,
  });
  if (options.kind) requireKind(meanings, options.kind);
  const encoder = new RowEncoder(
    manifest.transforms,
    fields,
    programs[0].fields.map((f) => f.name),
  );
  const machine = openMachine(kernels, { programs, parameters, heads: headsOf(meanings) });
  const batcher = new Batcher(runnerOf(machine, encoder, meanings), createScheduler());
  const decode = rowDecoder(transforms.images, platform.openDecoder);
  const nextToken = () => nextTokenOf(machine, transforms, meanings);
  return predictorOf(manifest, meanings, encoder, machine.kernels, batcher, decode, nextToken);
}

function predictorOf(
  manifest: Manifest,
  outputs: readonly OutputMeaning[],
  encoder: RowEncoder,
  kernels: KernelInfo,
  batcher: Batcher,
  decode: DecodeRows | undefined,
  nextToken: () => NextToken,
): OpenPredictor {
  let open: Batcher | undefined = batcher;
  const add = async (given: readonly unknown[], place: RowPlace, strict: boolean): Promise<Prediction[]> => {
    const rows = decode ? await decode(given, place) : given;
    const batches = open;
    if (!batches) throw disposed();
    return new Promise((resolve, reject) => {
      if (strict) for (const [i, row] of rows.entries()) encoder.check(row, i, place);
      batches.add({ rows, place, answers: [], resolve, reject });
    });
  };
  function predict(row: Row): Promise<Prediction>;
  function predict(rows: readonly Row[]): Promise<Prediction[]>;
  async function predict(input: Row | readonly Row[]): Promise<Prediction | Prediction[]> {
    if (Array.isArray(input)) return add(input, (i) => `rows[${i}]`, true);
    const [answer] = await add([input], () => 'row', true);
    return answer;
  }
  return {
    predict,
    async generate(prompt, options = {}) {
      const model = nextToken();
      const rest = async () => {
        await model.rest();
        if (!open) throw disposed();
      };
      return generateText({ ...model, rest }, prompt, options);
    },
    predictAt: (rows, place) => add(rows, place, false),
    columns: encoder.columns,
    outputs,
    kernels,
    manifest,
    encoder,
    dispose() {
      open?.close(disposed());
      open = undefined;
    },
  };
}

function runnerOf(machine: Machine, encoder: RowEncoder, meanings: readonly OutputMeaning[]): BatchRunner {
  const stages = new Map(machine.stages.map((stage) => [stage.rows, stage]));
  const stageOf = (size: number) => {
    const stage = stages.get(size);
    if (!stage) throw new TypeError(`no program for ${size} rows`);
    return stage;
  };
  const reader = answerReader(meanings);
  return {
    sizes: machine.stages.map((stage) => stage.rows),
    encode({ rows, place }, index, size, slot) {
      encoder.encode(rows[index] as Row, slot, stageOf(size).field, index, place);
    },
    run: (size) => stageOf(size).run(),
    read: (size, slot) => reader.read(stageOf(size), slot),
  };
}

/** The smallest stage as a model of the next token. Throws E_OPTION for a model that is none. */
function nextTokenOf(machine: Machine, transforms: Encoder, meanings: readonly OutputMeaning[]): NextToken {
  const [stage] = machine.stages;
  const [output] = meanings;
  const inputs = transforms.fields.filter(({ name }) => stage.field(name) !== undefined);
  const part = inputs.length === 1 ? transforms.parts(inputs[0].name)[0] : undefined;
  const classes = part?.kind === 'text' ? part.vocabulary.length : 0;
  const fits = part?.kind === 'text' && output.shape.join() === [part.length, classes].join();
  if (!fits || meanings.length !== 1 || output.kind !== 'classification') {
    throw new LockstepError('E_OPTION', {
      where: 'generate',
      expected: 'a model of the next token: text(...) in, cross-entropy over the vocabulary at each position out',
      got: `${inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ')} in, ${meanings.map((m) => `${m.kind} [${m.shape.join(', ')}]`).join(', ')} out`,
      fix: 'load the model that was meant, or use predict(...)',
    });
  }
  const field = stage.field(inputs[0].name);
  const scheduler = createScheduler();
  return {
    part,
    probabilities(ids) {
      field?.fill(0, 0, part.length);
      field?.set(ids);
      stage.run();
      return stage.probabilities(output.name).slice((ids.length - 1) * classes, ids.length * classes);
    },
    rest: () => new Promise((resolve) => scheduler.defer(resolve)),
  };
}

/** A program for each row count whose memory is bearable; the smallest in any case. */
function programsOf(manifest: Manifest, fields: readonly FieldInfo[]): Program[] {
  const { entries } = tensorTable(manifest);
  const programs: Program[] = [];
  for (const rows of predictionRows(manifest.model)) {
    const program = compilePrediction({ fields, tensors: entries, model: manifest.model }, rows);
    const bytes = program.activationBytes + program.batchBytes + program.constants.length;
    if (programs.length > 0 && bytes > MOST_BATCH_BYTES) break;
    requireSameOutputs(programs[0] ?? program, program);
    programs.push(program);
  }
  return programs;
}

/** Answers are read by what the first program gives: the same model for another number of rows gives that, for more rows. */
function requireSameOutputs(first: Program, { rows, outputs }: Program): void {
  const describe = (of: Program['outputs'], ofRows: number) =>
    of
      .map(({ name, dtype, shape: [n, ...rest] }) => `${name} ${dtype} [${[n / ofRows, ...rest].join(', ')}]`)
      .join('; ');
  const [expected, got] = [describe(first.outputs, first.rows), describe(outputs, rows)];
  if (got !== expected) throw damaged(`model graph of ${rows} rows`, `outputs ${quote(expected)}`, quote(got));
}

export function fieldInfo({ name, dtype, shape, size, classNames }: Manifest['fields'][number]): FieldInfo {
  return { name, dtype, shape, ...(size === undefined ? {} : { size }), ...(classNames ? { classNames } : {}) };
}

/** Whether the job asked for the same bytes on any machine. */
export function isPortable({ job }: Manifest): boolean {
  return typeof job === 'object' && job !== null && Reflect.get(job, 'deterministic') === 'portable';
}

const OPTIONS = ['kind', 'best', 'portable', 'kernels'];

function checkOptions(options: object): void {
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown === undefined) return;
  throw new LockstepError('E_OPTION', {
    where: 'Predictor.load',
    expected: `only the options ${OPTIONS.join(', ')}`,
    got: unknown,
    fix: 'correct its name or leave it out',
  });
}

function disposed(): LockstepError {
  return new LockstepError('E_ABORTED', {
    where: 'predict',
    expected: 'a predictor in use',
    got: 'one that was disposed',
    fix: 'load it again, or dispose() after the last answer',
  });
}
