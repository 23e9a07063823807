// Packs the package as npm would publish it, installs the tarball in empty folders and trains from it, as users do:
//
//   node scripts/check-package.mjs [--keep]
//
// A JavaScript and a TypeScript job, each in a "module" and in a commonjs package, must end with the same parameters; so
// must, on the WASM kernels, an installation without optional packages. A TypeScript program is compiled against the types.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'lockstep-package-'));

/** A job on data made by arithmetic; `import` lines differ between the module systems. */
const JOB_BODY = `
const ROWS = 480;
const x = new Float32Array(4 * ROWS);
const y = new Int32Array(ROWS);
for (let i = 0; i < ROWS; i++) {
  y[i] = i % 3;
  for (let j = 0; j < 4; j++) x[4 * i + j] = ((i * (j + 3)) % 17) / 17 + (y[i] === j ? 1 : 0);
}
const job = defineJob({
  data: { train: arrays({ x: { data: x, shape: [ROWS, 4] }, y }), validation: 0.2 },
  model: sequential(dense(128, 'relu'), dense(64, 'relu'), dense(3)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 0.01 }),
  batchSize: 128,
  shards: 2,
  steps: 20,
});
`;
const ESM_HEAD = `import { adam, crossEntropy, defineJob, dense, sequential } from 'lockstep';
import { arrays } from 'lockstep/data';
`;
const CJS_HEAD = `const { adam, crossEntropy, defineJob, dense, sequential } = require('lockstep');
const { arrays } = require('lockstep/data');
`;
const TYPED_LINE = 'const typed: number = 1;\nvoid typed;\n';

/** package.json's type, the job files and what is in them. TypeScript has the syntax of modules in both. */
const PACKAGES = [
  {
    type: 'module',
    jobs: {
      'job.js': `${ESM_HEAD}${JOB_BODY}export default job;\n`,
      'job.ts': `${ESM_HEAD}${TYPED_LINE}${JOB_BODY}export default job;\n`,
    },
  },
  {
    type: 'commonjs',
    jobs: {
      'job.js': `${CJS_HEAD}${JOB_BODY}module.exports = job;\n`,
      'job.ts': `${ESM_HEAD}${TYPED_LINE}${JOB_BODY}export default job;\n`,
      'job.cts': `${ESM_HEAD}${TYPED_LINE}${JOB_BODY}export default job;\n`,
    },
  },
];

/** What a user of the API writes; compiled against the packed types, then run. */
const CONSUMER = `${ESM_HEAD.replace('adam,', 'adam, type Job, type TrainResult, train,')}
const { x, y } = { x: new Float32Array(64), y: new Int32Array(32).map((_, i) => i % 2) };
for (let i = 0; i < x.length; i++) x[i] = (i % 7) / 7;
const job: Job = defineJob({
  data: { train: arrays({ x: { data: x, shape: [32, 2] }, y }) },
  model: sequential(dense(4, 'relu'), dense(2)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 0.01 }),
  batchSize: 16,
  steps: 4,
});
// @ts-expect-error: an option that adam does not have
adam({ learningRate: 0.01 });
// @ts-expect-error: no number of rows
export const wrong: Job = { ...job, batchSize: 'half' };
const result: TrainResult = await train(job, { workers: 1 });
const losses: number[] = result.history.map((record) => record.loss);
if (losses.length !== 4 || !losses.every(Number.isFinite)) throw new Error(\`losses \${losses}\`);
`;

const KEYS = [
  'stopped', 'step', 'trainedSteps', 'epoch', 'loss', 'metrics', 'samplesPerSec', 'seconds', 'workers', 'shards', 'gemm', 'parametersSha256', 'cpuSecondsPerWorker',
]; // biome-ignore format: a table

const start = performance.now();
try {
  check();
} finally {
  if (process.argv.includes('--keep')) console.log(`kept ${work}`);
  else rmSync(work, { recursive: true, force: true });
}

function check() {
  const tarball = pack();
  const hashes = new Map();
  for (const { type, jobs } of PACKAGES) {
    const folder = install(type, tarball, { type });
    for (const [file, text] of Object.entries(jobs)) {
      writeFileSync(join(folder, file), text);
      hashes.set(`${type}, ${file}`, trainFrom(folder, file).parametersSha256);
    }
  }
  expectSame(hashes);

  const module = join(work, 'module');
  const bare = install('bare', tarball, { type: 'module', flags: ['--omit=optional'] });
  if (existsSync(join(bare, 'node_modules', 'koffi'))) throw new Error('koffi was installed with --omit=optional');
  writeFileSync(join(bare, 'job.js'), PACKAGES[0].jobs['job.js']);
  const wasm = [trainFrom(bare, 'job.js'), trainFrom(module, 'job.js', { LOCKSTEP_GEMM: 'wasm' })];
  for (const { gemm } of wasm) if (gemm !== 'wasm') throw new Error(`expected the WASM kernels, got ${gemm}`);
  expectSame(
    new Map([
      ['without optional packages', wasm[0].parametersSha256],
      ['LOCKSTEP_GEMM=wasm', wasm[1].parametersSha256],
    ]),
  );

  compileConsumer(module);
  report('passed');
}

/** The tarball that npm would publish. */
function pack() {
  run('npm', ['pack', '--silent', '--pack-destination', work], { cwd: root });
  const [tarball] = readdirSync(work).filter((name) => name.endsWith('.tgz'));
  report(`packed ${tarball}`);
  return join(work, tarball);
}

function install(name, tarball, { type, flags = [] }) {
  const folder = join(work, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ name: `check-${name}`, private: true, type })}\n`);
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline', ...flags, tarball], {
    cwd: folder,
  });
  report(`installed in an empty ${type} package${flags.map((flag) => ` ${flag}`).join('')}`);
  return folder;
}

/** Runs the installed command and gives the summary, checked. */
function trainFrom(folder, file, env = {}) {
  const bin = join(folder, 'node_modules', '.bin', 'lockstep');
  const args = ['train', file, '--workers', '2', '--quiet', '--json'];
  const { stdout, stderr } = run(bin, args, { cwd: folder, env: { ...process.env, ...env } });
  const lines = stdout.trimEnd().split('\n');
  if (lines.length !== 1)
    throw new Error(`${file}: expected one line on standard output, got ${lines.length}:\n${stdout}`);
  if (stderr !== '') throw new Error(`${file}: expected a silent run, got on standard error:\n${stderr}`);
  const summary = JSON.parse(lines[0]);
  const keys = Object.keys(summary);
  if (keys.join() !== KEYS.join()) throw new Error(`${file}: expected the keys ${KEYS}, got ${keys}`);
  if (summary.step !== 20 || !/^[0-9a-f]{64}$/.test(summary.parametersSha256)) throw new Error(`${file}: ${lines[0]}`);
  report(
    `trained ${file} in ${folder.slice(work.length + 1)}: gemm ${summary.gemm}, ${summary.parametersSha256.slice(0, 16)}`,
  );
  return summary;
}

function expectSame(hashes) {
  if (new Set(hashes.values()).size === 1) return;
  const list = [...hashes].map(([name, hash]) => `  ${hash}  ${name}`).join('\n');
  throw new Error(`the same job ended with different parameters:\n${list}`);
}

/** Compiles a program against the packed types and runs it: our types checked as well, and as servers without DOM types have it. */
function compileConsumer(folder) {
  writeFileSync(join(folder, 'consumer.ts'), CONSUMER);
  for (const more of [{ skipLibCheck: false }, { skipLibCheck: true, lib: ['ES2022'] }]) {
    const compilerOptions = {
      ...{ target: 'ES2022', module: 'NodeNext', moduleResolution: 'NodeNext', strict: true },
      ...{ types: ['node'], typeRoots: [join(root, 'node_modules', '@types')], ...more },
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
    run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder], { cwd: folder });
  }
  run(process.execPath, ['consumer.js'], { cwd: folder });
  report('compiled and ran a TypeScript program against the packed types');
}

function run(command, args, options) {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 300_000, ...options });
  if (result.status === 0) return result;
  const why = result.error?.message ?? result.signal ?? `exit code ${result.status}`;
  throw new Error(`${command} ${args.join(' ')}: ${why}\n${result.stdout}${result.stderr}`);
}

function report(text) {
  console.log(`package: ${text} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
}
