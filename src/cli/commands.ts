import { Command, CommanderError } from 'commander';
import type { ChaosCommandOptions } from './chaos.ts';
import type { CheckCommandOptions } from './check.ts';
import { addClusterCommands } from './cluster-commands.ts';
import { type CompareCommandOptions, duration, nameList, rateList, suite, target } from './compare-options.ts';
import type { EvalCommandOptions } from './eval.ts';
import type { ExportCommandOptions } from './export.ts';
import type { GenerateCommandOptions } from './generate.ts';
import type { InitCommandOptions } from './init.ts';
import type { Io } from './io.ts';
import type { LrFindCommandOptions } from './lr-find.ts';
import {
  addJobOptions,
  addOwnOptions,
  addTrainOptions,
  atLeastZero,
  choice,
  count,
  DASHBOARD,
  pagePort,
  port,
  positive,
  workers,
} from './options.ts';
import type { PredictCommandOptions } from './predict.ts';
import { linkSpeed, type ScaleCommandOptions, sizeList, whatIf } from './scale-options.ts';
import type { SummaryCommandOptions } from './summary.ts';
import type { TrainCommandOptions } from './train.ts';
import { commandNames, usage, usageError } from './usage.ts';

const EXIT_CODES = `
Exit codes: 0 done; 1 an error in job, data or run (one line "error E_CODE: what" on standard error);
2 a command line that is not understood; 130 stopped by Ctrl-C, 143 by SIGTERM (a second one kills).
`;

const GENERAL_HELP = `
Examples:
  $ lockstep init data.csv --target species         write a job for a CSV (or Parquet) file, and train it
  $ lockstep train train.ts                         train on all cores
  $ lockstep train train.ts --workers 2 --json      last line: the result as JSON
  $ lockstep launch -H host1:4,host2:8 train.ts     train on several machines
  $ lockstep train train.ts --dashboard             watch it on a live page
  $ lockstep compare train.ts --budget 10m          which optimizer should I use?
  $ lockstep scale train.ts --workers 1,2,4         does another core pay?
  $ lockstep check train.ts                         does everything work?
  $ lockstep summary train.ts                       layers, parameters, memory
  $ lockstep optimizers                             what there is; lockstep optimizers adam: all about one
  $ lockstep env                                    which kernels this machine uses
${EXIT_CODES}`;

const TRAIN_HELP = `
Examples:
  $ lockstep train train.ts
  $ lockstep train train.ts --workers 4 --epochs 10 --run-dir runs/a
  $ lockstep train train.ts --set optimizer.lr=0.01 --set clip.globalNorm=1
  $ lockstep train train.ts --run-dir runs/a --resume auto
  $ lockstep train train.ts -q --json > result.json
  $ lockstep train train.ts --fast-dev-run
  $ lockstep train train.ts --tensorboard runs/tb/a --histograms 200
  $ lockstep train train.ts --dashboard

The job is the default export of the module (TypeScript or JavaScript), or its export named job; a function that returns a
job is called. Progress goes to standard error. With --json standard output carries exactly one line, with the keys
stopped (epochs, steps, early-stopping, callback, aborted), step, trainedSteps, epoch, loss, metrics, samplesPerSec, seconds,
workers, shards, gemm, parametersSha256, cpuSecondsPerWorker. A new run wants a folder that no earlier run has used.
${EXIT_CODES}`;

const COMPARE_HELP = `
Examples:
  $ lockstep compare train.ts --budget 10m
  $ lockstep compare train.ts --optimizers momentum,adam,adamw --target val.accuracy=0.97
  $ lockstep compare train.ts --budget 1h --seeds 12 --run-dir runs/which
  $ lockstep compare train.ts --run-dir runs/which --resume
  $ lockstep compare a.ts b.ts c.ts                 and a score over all of them
  $ lockstep compare --suite claims                 what the textbook says, tested in some minutes

Every optimizer is tuned with the same number of trials and steps (a grid of learning rates, successive halving), one trial on
each core (--workers: trials at a time). The best run again on fresh seeds, and are compared seed by seed on the validation
split; the test split takes no part. Ctrl-C keeps what is done. The folder gets trials.jsonl, report.json and report.html
(docs/compare.md says how to read them). With --json standard output carries one line: jobs (name, ended, objective,
recommendation, optimizers, cores) and, for several jobs, scores.
${EXIT_CODES}`;

const CHAOS_HELP = `
Examples:
  $ lockstep chaos train.ts --nodes 4 --kill-every 5s --pause --partition --corrupt --minutes 2

Trains the job twice on this machine, by a coordinator and node processes: undisturbed, and while nodes are killed (others take their
place) and each one's network is broken in the ways asked for. Prints how much of the speed was left (goodput), and that no step was lost
or doubled and the parameters are the same bytes; if not, that is an error. --workers are the threads of each node (default: 1).
${EXIT_CODES}`;

const SCALE_HELP = `
Examples:
  $ lockstep scale train.ts
  $ lockstep scale train.ts --workers 1,2,4 --mode strong
  $ lockstep scale train.ts --what-if nodes=2..1024,link=1gbit/0.5ms
  $ lockstep scale train.ts --what-if nodes=1024,mode=weak,lose=16@5,join=8@7,stragglers=3x2,topology=tree
  $ lockstep scale --workloads mlp,cnn              without a job: the reference workloads

Strong scaling: the same batch on every number of workers, against the fastest single worker of any S, and against one worker with the
same S, whose parameters are the same bytes. Weak scaling: the job's batch for each worker. Rounds are interleaved, warm-up is dropped, medians
are compared; other programs and more workers than cores are warned of.
--what-if simulates the step on other machines from the measured phases: nodes=2..1024 (doubled) or 1+2+3, workers=N of each, link=RATE/LATENCY,
format=fp32|bf16|int8|int4|topk, sync=STEPS, topology=star|tree, mode=strong|weak, stragglers=COUNTxFACTOR, lose=COUNT@EXCHANGE, join=COUNT@EXCHANGE.
With --json standard output carries one line: rows (job, mode, workers, nodes, batch, shards, samplesPerSec, efficiency, parametersSha256),
jobs (headline, criticalBatch, stopAt), warnings. docs/scaling.md says how to read it all.
${EXIT_CODES}`;

const SUMMARY_HELP = `
Examples:
  $ lockstep summary train.ts
  $ lockstep summary train.ts --workers 16 --batch-size 4096
${EXIT_CODES}`;

const INIT_HELP = `
Looks at the columns (numbers, yes or no, categories; what is missing; what only identifies a row), writes a commented job with a model
sized for the data, a split, early stopping and checkpoints, and trains it. The job is plain code: change it and train again.

Examples:
  $ lockstep init iris.csv --target species
  $ lockstep init houses.csv --target price --out houses.ts --no-train
  $ lockstep init data.csv                            prints the columns to choose from
${EXIT_CODES}`;

const CHECK_HELP = `
Loads the job and runs one batch through training, validation, saving, loading and prediction; learns 32 rows by heart, which a
sound job can, and looks for the cause if it cannot; compares 1 worker with 2. Leaves nothing behind; exit code 1 if something failed.

Examples:
  $ lockstep check train.ts
  $ lockstep check train.ts --json
${EXIT_CODES}`;

const LR_FIND_HELP = `
Trains for a few steps while the rate grows from --from to --to, until the loss diverges, and suggests the rate at which it falls
fastest (Smith, arXiv:1506.01186). The parameters are thrown away. Run it again after changing model, batch size or optimizer.

Examples:
  $ lockstep lr-find train.ts
  $ lockstep lr-find train.ts --from 1e-5 --to 1 --steps 400 --json
${EXIT_CODES}`;

const PREDICT_HELP = `
Examples:
  $ lockstep predict runs/a new.csv > answers.csv     the columns of new.csv, and prediction, probability ...
  $ lockstep predict runs/a new.csv --only            the predictions alone
  $ lockstep predict model.safetensors new.jsonl --json

<model> is the folder of a run (its newest whole checkpoint), one checkpoint, or a file that lockstep export wrote. Rows are raw:
what training fitted (normalisation, categories) is in the model. The target may be missing.
${EXIT_CODES}`;

const EVAL_HELP = `
Examples:
  $ lockstep eval runs/a                              val.loss, val.accuracy, test.loss ...
  $ lockstep eval runs/a new.csv --json               loss, accuracy on a file with the target
${EXIT_CODES}`;

const EXPORT_HELP = `
Examples:
  $ lockstep export runs/a model.safetensors
  $ lockstep export runs/a model.safetensors --best val.accuracy
  $ lockstep export runs/a --onnx model.onnx          for ONNX Runtime and others; prints the names of inputs and outputs
${EXIT_CODES}`;

const GENERATE_HELP = `
Examples:
  $ lockstep generate runs/shakespeare --prompt 'ROMEO:' --tokens 500
  $ lockstep generate runs/shakespeare --prompt 'ROMEO:' --temperature 0.8 --top-k 20 --seed 2

For models trained on text(...) of lockstep/data, such as examples/char-gpt.ts. The same seed gives the same text.
${EXIT_CODES}`;

const DASHBOARD_HELP = `
Examples:
  $ lockstep dashboard runs/a                         a run that is over, or goes on elsewhere
  $ lockstep dashboard runs/a runs/b runs/c           several over each other
  $ lockstep train train.ts --dashboard               the page of a run while it is trained, with its buttons

The page is for this machine alone (from elsewhere: ssh -L 7460:127.0.0.1:7460 host); the link that is printed holds a token. It asks
for nothing outside, works without a network, and has its numbers as tables too. /metrics is for Prometheus: give it the token as a bearer token.
${EXIT_CODES}`;

const RUNS_HELP = `
Examples:
  $ lockstep runs                                     all in runs/, newest first
  $ lockstep runs runs/a other/runs --json
  $ lockstep watch runs/a                             the progress of a run in another process; Ctrl-C leaves it alone
${EXIT_CODES}`;

const OPTIMIZERS_HELP = `
Examples:
  $ lockstep optimizers                               each with its state in bytes, and when to use it
  $ lockstep optimizers adam                          rule, limits, state, options and defaults, compat, paper
  $ lockstep compare train.ts                         which one fits a job, measured
${EXIT_CODES}`;

/** What the command line asks for: text to print, or work to do. */
export type Request =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'work';
      readonly verbose: boolean;
      /** Its exit code tells kinds of failures apart: cluster/launch/exit-codes.ts. */
      readonly scheduled: boolean;
      /** Ctrl-C ends no training: it leaves. */
      readonly leaves: boolean;
      run(io: Io): Promise<void>;
    };

/** Commands that only look: Ctrl-C leaves, and nothing is stopped. */
const ONLOOKERS: ReadonlySet<string> = new Set(['dashboard', 'watch', 'runs']);

/** Notes what a command is to do. */
export type Work = (command: Command, run: (io: Io) => Promise<void>, scheduled?: boolean) => void;

/**
 * Reads a command line (without node and script). Nothing runs yet.
 *
 * @throws UsageError for anything that is not understood, with the closest known name.
 */
export function readCommandLine(args: readonly string[], version: string): Request {
  let request: Request | undefined;
  let text = '';
  const work: Work = (command, run, scheduled = false) => {
    const verbose = command.optsWithGlobals<{ verbose?: boolean }>().verbose === true;
    request = { kind: 'work', verbose, scheduled, leaves: ONLOOKERS.has(command.name()), run };
  };

  const program = new Command('lockstep')
    .description('Train neural networks on every core, in synchronous data-parallel steps.')
    .version(version, '-v, --version', 'print the version')
    .option('--verbose', 'print the stack of an error (also: LOCKSTEP_DEBUG=1)')
    .helpOption('-h, --help', 'print help')
    .helpCommand(false)
    .enablePositionalOptions(false)
    .addHelpText('after', GENERAL_HELP);
  const add = (usage: string, description: string): Command => program.command(usage).description(description);

  addTrainOptions(add('train <job>', 'train a job'))
    .option('--fast-dev-run', 'one training and one validation batch, no files: does it run at all?')
    .option('--overfit-batches <n>', 'the first n batches again and again: can it learn them by heart?', count(1))
    .addHelpText('after', TRAIN_HELP)
    .action((path: string, options: TrainCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./train.ts')).trainCommand(path, options, io));
    });
  addClusterCommands(add, work, args);
  addJobOptions(add('chaos <job>', 'train while nodes are killed and the network is broken: are the bytes the same?'))
    .option('--nodes <n>', 'node processes on this machine', count(1), 3)
    .option('--kill-every <time>', 'kill -9 a node this often, e.g. 5s', duration, 5)
    .option('--pause', 'between kills, stop the process of a node for a while')
    .option('--partition', 'between kills, hold back what goes to or comes from a node for a while')
    .option('--corrupt', 'between kills, double, shorten, cut or lengthen a message, or change a bit of it')
    .option(
      '--minutes <n>',
      'the undisturbed run is ended after so long, the disturbed one after the same step',
      positive,
      2,
    )
    .option('--json', 'print the comparison as one line of JSON on standard output')
    .addHelpText('after', CHAOS_HELP)
    .action((path: string, options: ChaosCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./chaos.ts')).chaosCommand(path, options, io));
    });
  addJobOptions(add('compare [jobs...]', 'measure which optimizer fits a job'))
    .option('--optimizers <names>', 'of these, separated by commas (default: all that can train the job)', nameList)
    .option('--learning-rates <list>', 'begin with these instead of five around the default', rateList)
    .option('--budget <time>', 'finish in 90s, 10m, 1h: runs are cut short, for all alike, if need be', duration)
    .option('--target <metric=value>', 'the first to reach it wins, e.g. val.accuracy=0.97', target)
    .option('--metric <name>', 'without a target, the best at the end wins (default: the first metric of the job)')
    .option('--seeds <n>', 'fresh seeds for the finals (default: 8)', count(2))
    .option('--finalists <n>', 'optimizers in the finals (default: 4)', count(1))
    .option('--run-dir <folder>', 'write journal and reports there (default: compare-<job>)')
    .option('--suite <name>', "instead of jobs: 'claims' tests what the textbook says about optimizers", suite)
    .option('--resume', 'go on with the comparison in the run folder')
    .option('--dashboard [port]', DASHBOARD, pagePort)
    .option('-q, --quiet', 'no progress')
    .option('--json', 'print the outcome as one line of JSON on standard output')
    .addHelpText('after', COMPARE_HELP)
    .action((paths: string[], options: CompareCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./compare.ts')).compareCommand(paths, options, io));
    });
  add('dashboard [folders...]', 'open runs on a page: curves over each other, until Ctrl-C')
    .option('--port <port>', 'on this port, or the next that is free (default: 7460)', port)
    .addHelpText('after', DASHBOARD_HELP)
    .action((folders: string[], options: { port?: number }, command: Command) => {
      work(command, async (io) => (await import('./dashboard.ts')).dashboardCommand(folders, options, io));
    });
  add('runs [folders...]', 'list runs: state, steps, best metric, duration (default: those in runs/)')
    .option('--json', 'as one line of JSON')
    .addHelpText('after', RUNS_HELP)
    .action((folders: string[], options: { json?: boolean }, command: Command) => {
      work(command, async (io) => (await import('./runs.ts')).runsCommand(folders, options, io));
    });
  add('watch <folder>', 'show the progress of a run that goes on in another process')
    .addHelpText('after', RUNS_HELP)
    .action((folder: string, _: object, command: Command) => {
      work(command, async (io) => (await import('./watch.ts')).watchCommand(folder, io));
    });
  addJobOptions(add('summary <job>', 'print layers, parameters and memory of a job'))
    .addHelpText('after', SUMMARY_HELP)
    .action((path: string, options: SummaryCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./summary.ts')).summaryCommand(path, options, io));
    });
  add('init <table>', 'write a job for a CSV or Parquet file, and train it')
    .option('--target <column>', 'the column to predict')
    .option(
      '--task <kind>',
      'classification or regression (default: by the target)',
      choice('classification', 'regression'),
    )
    .option('--out <file>', 'the job to write', 'train.ts')
    .option('--force', 'overwrite it')
    .option('--no-train', 'only write it')
    .option('--run-dir <folder>', 'where the run goes (default: runs/<target>)')
    .option('--delimiter <text>', 'between cells (default: the one that fits the first line)')
    .option('--no-header', 'the first line is data; columns are named 0, 1, 2 ...')
    .option('-w, --workers <n>', "threads that compute; 'auto' = available cores (default: auto)", workers)
    .option('-q, --quiet', 'no progress')
    .addHelpText('after', INIT_HELP)
    .action((path: string, options: InitCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./init.ts')).initCommand(path, options, io));
    });
  addJobOptions(add('check <job>', 'try everything that a job needs on a few rows, and say what is wrong'))
    .option('--json', 'print the results as one line of JSON')
    .addHelpText('after', CHECK_HELP)
    .action((path: string, options: CheckCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./check.ts')).checkCommand(path, options, io));
    });
  addJobOptions(add('lr-find <job>', 'find a learning rate: a short sweep'), 'updates of the sweep (default: 200)')
    .option('--from <lr>', 'first rate (default: 1e-6)', positive)
    .option('--to <lr>', 'last rate, unless the loss diverges before (default: 10)', positive)
    .option('--json', 'print the points and the suggestion as one line of JSON')
    .addHelpText('after', LR_FIND_HELP)
    .action((path: string, options: LrFindCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./lr-find.ts')).lrFindCommand(path, options, io));
    });
  addOwnOptions(
    add('scale [job]', 'does another core, or another machine, pay? measured, explained, predicted').option(
      '-w, --workers <list>',
      'numbers of workers, e.g. 1,2,4 (default: 1, 2, 4 ... up to all cores)',
      sizeList,
    ),
    'most steps of a measurement (default: as many as --seconds has)',
  )
    .option('--nodes <list>', 'numbers of node processes on this machine, over loopback (default: 1)', sizeList)
    .option(
      '--link <speed>',
      'slow the way to all nodes but the first down, e.g. 100mbit/2ms (default: loopback as it is)',
      linkSpeed,
    )
    .option('--mode <kind>', 'strong, weak or both (default: both)', choice('strong', 'weak', 'both'))
    .option('--rounds <n>', 'interleaved rounds (default: 6)', count(1))
    .option('--seconds <s>', 'measured seconds of each row and round (default: 0.8)', positive)
    .option('--what-if <question>', 'predict for other machines (default: nodes=1..64,link=1gbit/0.5ms)', whatIf)
    .option('--no-noise', 'do not look for the largest batch that pays')
    .option('--workloads <names>', 'without a job: of the reference workloads, separated by commas', nameList)
    .option('--trace <file>', 'also write what each worker did, for ui.perfetto.dev')
    .option('--out <folder>', 'write scaling.json and scaling.html there (default: scale-<job>)')
    .option('-q, --quiet', 'no progress')
    .option('--json', 'print the rows as one line of JSON on standard output')
    .addHelpText('after', SCALE_HELP)
    .action((path: string | undefined, options: ScaleCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./scale.ts')).scaleCommand(path, options, io));
    });
  const addTableOptions = (command: Command): Command =>
    command
      .option('--best <metric>', "of a run's checkpoints the best by a metric (val.loss), not the newest")
      .option('--delimiter <text>', 'between cells (default: a comma, for .tsv a tab)')
      .option('--no-header', 'the first line is a row; columns are named 0, 1, 2 ...')
      .option('--ignore <columns>', 'columns to pass over, separated by commas', (text: string) => text.split(','));
  addTableOptions(add('predict <model> <data>', 'answer the rows of a CSV or JSON lines file (-: standard input)'))
    .option('--only', 'print the prediction columns alone')
    .option('--json', 'print one line of JSON for each row')
    .addHelpText('after', PREDICT_HELP)
    .action((model: string, data: string, options: PredictCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./predict.ts')).predictCommand(model, data, options, io));
    });
  addTableOptions(add('eval <model> [data]', "loss and metrics on the job's validation and test rows, or on a file"))
    .option('--job <file>', "module of the job: for data or metrics that are the job's own")
    .option('--json', 'print the result as one line of JSON')
    .addHelpText('after', EVAL_HELP)
    .action((model: string, data: string | undefined, options: EvalCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./eval.ts')).evalCommand(model, data, options, io));
    });
  add('generate <model>', 'continue a text with a model of the next token')
    .requiredOption('--prompt <text>', 'how the text begins')
    .option('--tokens <n>', 'how many to add (default: 200)', count(1))
    .option(
      '--temperature <t>',
      'below 1: more of what is probable; 0: always the most probable (default: 1)',
      atLeastZero,
    )
    .option('--top-k <k>', 'choose among the k most probable only', count(1))
    .option('--seed <n>', 'another seed gives another text (default: 1)', count(0))
    .option('--best <metric>', "of a run's checkpoints the best by a metric (val.loss), not the newest")
    .addHelpText('after', GENERATE_HELP)
    .action((model: string, options: GenerateCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./generate.ts')).generateCommand(model, options, io));
    });
  add('export <model> [file]', 'write the model into one safetensors file, or as ONNX')
    .option('--onnx <file>', 'write it as ONNX: raw columns in, answers out')
    .option('--best <metric>', "of a run's checkpoints the best by a metric (val.loss), not the newest")
    .addHelpText('after', EXPORT_HELP)
    .action((model: string, file: string | undefined, options: ExportCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./export.ts')).exportCommand(model, file, options, io));
    });
  add('optimizers [name]', 'list the optimizers, or print all about one')
    .option('--json', 'as one line of JSON')
    .addHelpText('after', OPTIMIZERS_HELP)
    .action((name: string | undefined, options: { json?: boolean }, command: Command) => {
      work(command, async (io) => (await import('./optimizers.ts')).optimizersCommand(name, options, io));
    });
  add('env', 'print versions, CPU, and which kernels are used')
    .option('--json', 'as one line of JSON')
    .addHelpText('after', EXIT_CODES)
    .action((options: { json?: boolean }, command: Command) => {
      work(command, async (io) => (await import('./env.ts')).envCommand(options, io));
    });

  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (part) => {
        text += part;
      },
      writeErr: (part) => {
        text += part;
      },
      outputError: () => {},
    });
  }
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.helpDisplayed' || error.code === 'commander.version') return { kind: 'text', text };
    throw usageError(error, program, args);
  }
  if (request) return request;
  throw usage('command', `one of ${commandNames(program)}`, 'none', 'see lockstep --help');
}
