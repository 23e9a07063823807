import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { describe, expect, it } from 'vitest';
import { importsOf, withoutComments } from './support/imports.ts';

/** Top to bottom, as docs/architecture.md lists them: a file imports from its own layer and from those above it. */
const LAYERS = [
  'errors',
  'kernels',
  'graph',
  'nn',
  'optim',
  'data',
  'checkpoint',
  'predict',
  'export',
  'membership',
  'parallel',
  'record',
  'train',
  'cluster',
  'compare',
  'scaling',
  'dashboard',
  'cli',
] as const;

/** Public entry points gather from all layers; no file may import them. */
const FACADES = ['src/index.ts', 'src/testing.ts'];

/** Files that may say something to the environment, beside src/cli. */
const READS_ENVIRONMENT = ['src/kernels/backend.ts'];

const root = resolve(import.meta.dirname, '..');

function sources(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((file) => !file.startsWith('src/kernels/assembly/')) // AssemblyScript: another language, imports itself only
    .sort();
}

function layerOf(file: string): number {
  const name = file.startsWith('cluster/') ? 'cluster' : file.split('/')[1].replace(/\.ts$/, '');
  return (LAYERS as readonly string[]).indexOf(name);
}

const files = [...sources('src'), ...sources('cluster')];
const graph = new Map(files.map((file) => [file, importsOf(readFileSync(join(root, file), 'utf8'))]));

function target(file: string, specifier: string): string {
  return relative(root, resolve(root, dirname(file), specifier))
    .split(sep)
    .join('/');
}

const lines = (file: string) => withoutComments(readFileSync(join(root, file), 'utf8'));

describe('the layers', () => {
  it('hold every file', () => {
    expect(files.length).toBeGreaterThan(50);
    expect(files.filter((file) => !FACADES.includes(file) && layerOf(file) < 0)).toEqual([]);
  });

  it('import only from above', () => {
    const wrong: string[] = [];
    for (const [file, imports] of graph) {
      for (const { specifier, typeOnly } of imports) {
        if (!specifier.startsWith('.') || typeOnly) continue;
        const to = target(file, specifier);
        if (FACADES.includes(to)) wrong.push(`${file} imports the entry point ${to}`);
        else if (!FACADES.includes(file) && layerOf(to) > layerOf(file))
          wrong.push(`${file} imports ${to} from below it`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('name imports by files that exist, and this package never by its name', () => {
    const wrong: string[] = [];
    for (const [file, imports] of graph) {
      for (const { specifier } of imports) {
        if (specifier.startsWith('.') && !existsSync(join(root, target(file, specifier))))
          wrong.push(`${file}: ${specifier}`);
        if (specifier === 'lockstep' || specifier.startsWith('lockstep/')) wrong.push(`${file}: ${specifier}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('keep prediction free of threads and sockets', () => {
    const seen = new Set<string>();
    const packages = new Map<string, string>();
    const visit = (file: string) => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const { specifier, typeOnly } of graph.get(file) ?? []) {
        if (typeOnly) continue;
        if (specifier.startsWith('.')) visit(target(file, specifier));
        else packages.set(specifier, file);
      }
    };
    for (const file of files) if (file.startsWith('src/predict/')) visit(file);
    expect([...packages].filter(([name]) => /^(piscina|ws|node:worker_threads)$/.test(name))).toEqual([]);
  });
});

describe('library code', () => {
  const library = files.filter((file) => !file.startsWith('src/cli/'));

  it('prints nothing and never ends the process', () => {
    // process.kill(pid, 0) only asks whether a process is there.
    const pattern =
      /\bconsole\s*\.|\bprocess\s*\.\s*(exit|exitCode|abort|reallyExit|kill(?!\([\w.]+, 0\)))\b|\bprocess\s*\.\s*std(out|err)\b/;
    expect(library.filter((file) => pattern.test(lines(file)))).toEqual([]);
  });

  it('reads the environment in one place', () => {
    const pattern =
      /\bprocess\s*\.\s*env\b|\bprocess\s*\[|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|import\s*\{[^}]*\benv\b[^}]*\}\s*from\s*'node:process'/;
    expect(library.filter((file) => pattern.test(lines(file)) && !READS_ENVIRONMENT.includes(file))).toEqual([]);
  });

  it('uses no randomness or mathematics that differ between machines where results depend on it', () => {
    const pure = ['kernels', 'graph', 'nn', 'optim', 'data', 'membership'].map((layer) => `src/${layer}/`);
    const pattern = /\bMath\s*\.\s*random\b/;
    expect(library.filter((file) => pure.some((p) => file.startsWith(p)) && pattern.test(lines(file)))).toEqual([]);
  });
});

describe('the command line', () => {
  it('ends the process in main.ts only', () => {
    const cli = files.filter((file) => file.startsWith('src/cli/') && file !== 'src/cli/main.ts');
    expect(
      cli.filter((file) => /\bprocess\s*\.\s*(exit|exitCode|abort|kill)\b|\bconsole\s*\./.test(lines(file))),
    ).toEqual([]);
  });
});

// The tests above are only as good as what they read.
describe('importsOf', () => {
  it.each([
    ["import { a } from './a.ts';", './a.ts', false],
    ["import type { A } from './a.ts';", './a.ts', true],
    ["import { type A, type B } from './a.ts';", './a.ts', true],
    ["import { type A, b } from './a.ts';", './a.ts', false],
    ["import {\n  type A,\n  b,\n} from './a.ts';", './a.ts', false],
    ["import './a.ts';", './a.ts', false],
    ["import a from './a.ts';", './a.ts', false],
    ["import * as a from './a.ts';", './a.ts', false],
    ["export { a } from './a.ts';", './a.ts', false],
    ["export * from './a.ts';", './a.ts', false],
    ["export type { A } from './a.ts';", './a.ts', true],
    ["const { a } = await import('./a.ts');", './a.ts', false],
    ["type A = typeof import('./a.ts').a;", './a.ts', true],
  ])('%s', (code, specifier, typeOnly) => {
    expect(importsOf(code)).toEqual([{ specifier, typeOnly }]);
    expect(importsOf(`const b = 1;\n${code}\nconst c = 2;`)).toEqual([{ specifier, typeOnly }]);
  });

  it('does not see comments', () => {
    expect(importsOf("// import './a.ts';\n/* import './b.ts'; */\nconst url = 'http://x'; import './c.ts';")).toEqual([
      { specifier: './c.ts', typeOnly: false },
    ]);
  });
});
