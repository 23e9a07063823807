// The one gate, for a person and for CI: `npm run check`.
//
//   node scripts/check.mjs [--skip step,step] [--only step,step]
//
// Steps run in order, cheapest first; the first that fails ends the run.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

const STEPS = [
  { name: 'format and lint', key: 'lint', command: 'npm run -s lint' },
  { name: 'types', key: 'types', command: 'npm run -s types' },
  { name: 'layers', key: 'layers', command: 'npx vitest run test/layers.test.ts' },
  { name: 'tests', key: 'test', command: 'npm test' },
  { name: 'tests without BLAS', key: 'test:wasm', command: 'npm run test:wasm' },
  { name: 'package', key: 'package', command: 'npm run -s check:package' },
];

const { values } = parseArgs({ options: { skip: { type: 'string' }, only: { type: 'string' } } });
const chosen = choose(values);
const failed = chosen.find((step) => !run(step));
if (failed) {
  console.error(`\ncheck failed at: ${failed.name} (${failed.command})`);
  process.exitCode = 1;
} else {
  console.log(`\ncheck passed: ${chosen.map((step) => step.key).join(', ')}`);
}

function choose({ skip, only }) {
  const list = (text) => text?.split(',').map((key) => key.trim());
  const named = [...(list(skip) ?? []), ...(list(only) ?? [])];
  const unknown = named.filter((key) => !STEPS.some((step) => step.key === key));
  if (unknown.length > 0) {
    console.error(`no such step: ${unknown.join(', ')}; steps are ${STEPS.map((step) => step.key).join(', ')}`);
    process.exit(2);
  }
  return STEPS.filter((step) => (only ? list(only).includes(step.key) : !list(skip)?.includes(step.key)));
}

function run({ name, command }) {
  console.log(`\n== ${name}: ${command}`);
  const start = performance.now();
  const { status, signal, error } = spawnSync(command, { cwd: root, stdio: 'inherit', shell: true });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(
    `== ${name}: ${status === 0 ? 'passed' : `failed (${error?.message ?? signal ?? status})`} in ${seconds} s`,
  );
  return status === 0;
}
