import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A job as far as loading goes: `train` checks the rest. */
const JOB = '{ model: 1, data: 2, steps: 7 }';

const GOOD: Record<string, string> = {
  'default.ts': `const steps: number = 7; export default { model: 1, steps };`,
  'named.mts': `export const other = 1; export const job = ${JOB};`,
  'function.ts': `export default () => (${JOB});`,
  'async.ts': `export default async () => (${JOB});`,
  'named-function.ts': `export async function job() { return ${JOB}; }`,
  'plain.mjs': `export default ${JOB};`,
  'exports.cjs': `module.exports = ${JOB};`,
  'exports-job.cjs': `exports.job = ${JOB};`,
  'compiled.cjs': `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = ${JOB};`,
  'typed.cts': `const job: object = ${JOB}; export default job;`,
  'imports.ts': `import job from './default.ts'; export default { ...job };`,
};

const BAD: Record<string, [text: string, message: RegExp]> = {
  'syntax.ts': ['export default {\n  a: 1,\n  b: = 2,\n};\n', /syntax\.ts:3:\d+: expected a module that loads/],
  'syntax.mjs': ['const a = 1;\nconst b = ;\n', /syntax\.mjs:2: expected a module .* SyntaxError/],
  'throws.ts': [
    'const a: number = 1;\nthrow new TypeError("no luck " + a);\n',
    /throws\.ts:2(:\d+)?: .* TypeError: no luck 1/,
  ],
  'called.ts': ['\nexport default () => {\n  throw new Error("later");\n};\n', /called\.ts:3(:\d+)?: .* got later;/],
  'rejects.ts': [
    'export default async () => {\n  throw new Error("later still");\n};\n',
    /rejects\.ts:2(:\d+)?: .* got later still;/,
  ],
  'string.mjs': ['throw "a string";\n', /string\.mjs: .* got a string;/],
  'package.ts': ["import 'no-such-package';\n", /npm install no-such-package/],
  'file.ts': ["import './not-there.ts';\n", /check the path of the import/],
  'inner.ts': ["import './syntax.ts';\n", /syntax\.ts:3:\d+/],
  'nothing.ts': ['const a: number = 1;\nvoid a;\n', /export default defineJob/],
  'nothing.mjs': ['const a = 1;\n', /got no exports; export default defineJob/],
  'other.ts': [
    'export const model = 1;\nexport const jab = 2;\n',
    /got (model, jab|jab, model) \(none of them a job\)/,
  ],
  'number.ts': ['export default 5;\n', /got default \(the job is a number\)/],
  'null.mjs': ['export default () => null;\n', /got default \(the job is null\)/],
  'empty.cjs': ['module.exports = {};\n', /expected a default export/],
};

interface Loaded {
  readonly steps?: number;
  readonly module?: string;
  readonly code?: string;
  readonly message?: string;
}

describe.each([
  ['module', '{"type":"module"}'],
  ['commonjs', '{}'],
])('loading jobs in a %s package', (_, manifest) => {
  let folder: string;
  const loaded = new Map<string, Loaded>();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-load-'));
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), manifest);
    for (const [name, text] of Object.entries(GOOD)) writeFileSync(join(folder, name), text);
    for (const [name, [text]] of Object.entries(BAD)) writeFileSync(join(folder, name), text);
    const names = [...Object.keys(GOOD), ...Object.keys(BAD)];
    const missing = ['defualt.ts', 'notes.txt', '.'];
    writeFileSync(join(folder, 'notes.txt'), '');
    const all = [...names, ...missing];
    const output = execFileSync(
      process.execPath,
      ['--import', 'tsx', 'test/cli/load-each.ts', ...all.map((name) => join(folder, name))],
      { cwd: ROOT, encoding: 'utf8' },
    );
    const results = JSON.parse(output) as Loaded[];
    for (const [i, name] of all.entries()) loaded.set(name, results[i]);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(Object.keys(GOOD))('%s gives its job', (name) => {
    expect(loaded.get(name)).toEqual({ steps: 7, module: pathToFileURL(join(folder, name)).href });
  });

  it.each(Object.keys(BAD))('%s is E_JOB_LOAD', (name) => {
    expect(loaded.get(name)).toMatchObject({ name: 'LockstepError', code: 'E_JOB_LOAD' });
    expect(loaded.get(name)?.message).toMatch(BAD[name][1]);
    expect(loaded.get(name)?.message).not.toContain('\n');
  });

  it('names what is not there, with the nearest that is', () => {
    expect(loaded.get('defualt.ts')?.message).toMatch(/no such file .*did you mean "default\.ts"\?/);
    expect(loaded.get('notes.txt')?.message).toMatch(/a file that ends in "\.txt"/);
    expect(loaded.get('.')?.message).toMatch(/got a folder/);
  });
});
