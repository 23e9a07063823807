import { spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { crossEntropy, defineJob, dense, type Job, sequential, sgd, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { Predictor } from 'lockstep/predict';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeModel } from '../../src/checkpoint/model-file.ts';
import { readStoredModel } from '../../src/predict/node-model.ts';
import { blobs } from '../fixtures/blobs.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'lockstep-bundle-'));
afterAll(() => rmSync(folder, { recursive: true }));

const runDir = join(folder, 'run');
const rows = Array.from({ length: 12 }, (_, i) => ({ x: [i / 3, -i / 5, 1, 0.5] }));
let expected: unknown;

beforeAll(async () => {
  const job = defineJob({
    data: { train: arrays(blobs(80, 4, 3)) },
    model: sequential(dense(8, 'relu'), dense(3)),
    loss: crossEntropy(),
    optimizer: sgd({ lr: 0.1 }),
    steps: 3,
  }) as unknown as Job;
  await train(job, { workers: 1, runDir });
  writeFileSync(join(folder, 'model.safetensors'), encodeModel(await readStoredModel(runDir)));
  const predictor = await Predictor.load(runDir, { portable: true });
  expected = await predictor.predict(rows);
  predictor.dispose();
});

interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], cwd: string): Promise<Finished> {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

describe('a server in one file', () => {
  /** `kernels` is code for the option of that name. */
  async function bundle(
    format: 'esm' | 'cjs',
    kernels: string,
  ): Promise<{ file: string; place: string; packages: string[] }> {
    const place = mkdtempSync(join(folder, `${format}-`));
    const file = join(place, format === 'esm' ? 'server.mjs' : 'server.cjs');
    const { metafile } = await build({
      stdin: {
        contents: `
          import { readFileSync } from 'node:fs';
          import { Predictor } from './src/predict/index.ts';
          async function main() {
            const options = { portable: true, kernels: ${kernels} };
            const predictor = await Predictor.load(process.argv[2], options);
            process.stdout.write(JSON.stringify(await predictor.predict(${JSON.stringify(rows)})));
          }
          main().catch((error) => { process.stderr.write(error.code + ': ' + error.message); process.exitCode = 1; });
        `,
        resolveDir: root,
        loader: 'ts',
      },
      outfile: file,
      bundle: true,
      platform: 'node',
      format,
      target: 'node20',
      metafile: true,
      logLevel: 'silent',
    });
    const packages = Object.keys(metafile.inputs).flatMap((input) => /node_modules\/([^/]+)/.exec(input)?.[1] ?? []);
    return { file, place, packages: [...new Set(packages)] };
  }
  const fromBytes = `{ simd128: readFileSync(${JSON.stringify(join(root, 'src/kernels/wasm/simd128.wasm'))}) }`;

  it.each(['esm', 'cjs'] as const)('answers from a %s bundle with the kernels passed in', async (format) => {
    const { file, place, packages } = await bundle(format, fromBytes);
    expect(packages).toEqual(['zod']);
    for (const source of [runDir, join(folder, 'model.safetensors')]) {
      const { stdout, stderr, code } = await run([file, source], place);
      expect({ stderr, code }).toEqual({ stderr: '', code: 0 });
      expect(JSON.parse(stdout)).toEqual(expected);
    }
  });

  it('finds the kernels beside it, and says what to do where they are not', async () => {
    const { file, place } = await bundle('esm', 'undefined');
    const without = await run([file, runDir], place);
    expect(without.code).toBe(1);
    expect(without.stderr).toMatch(/^E_KERNEL: .*wasm.*Predictor\.load\(model, \{ kernels/);
    mkdirSync(join(place, 'wasm'));
    copyFileSync(join(root, 'src/kernels/wasm/simd128.wasm'), join(place, 'wasm', 'simd128.wasm'));
    expect(JSON.parse((await run([file, runDir], place)).stdout)).toEqual(expected);
  });
});

describe('examples/server.ts', () => {
  it('answers rows, and says what is wrong with them', async () => {
    const args = ['--import', 'tsx', 'examples/server.ts', runDir, '0'];
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.on('close', resolve));
    try {
      const port = await new Promise<string>((resolve, reject) => {
        let text = '';
        child.stdout.setEncoding('utf8').on('data', (part) => {
          text += part;
          const found = /port: (\d+)/.exec(text);
          if (found) resolve(found[1]);
        });
        child.on('close', () => reject(new Error('the server ended')));
      });
      const post = async (body: string) => {
        const response = await fetch(`http://127.0.0.1:${port}`, { method: 'POST', body });
        return { status: response.status, body: (await response.json()) as { error?: string; label?: number } };
      };
      const predictor = await Predictor.load(runDir);
      const answers = await predictor.predict(rows);
      predictor.dispose();
      const single = await Promise.all(rows.map((row) => post(JSON.stringify(row))));
      expect(single.map((r) => r.body)).toEqual(answers);
      expect((await post(JSON.stringify(rows))).body).toEqual(answers);
      const wrong = await post('{"x": [1, 2]}');
      expect(wrong.status).toBe(400);
      expect(wrong.body.error).toContain('column "x"');
      expect((await post('{')).status).toBe(400);
    } finally {
      child.kill();
      await ended;
    }
  });
});
