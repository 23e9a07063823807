import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { crossEntropy, defineJob, dense, flatten, type Job, sequential, sgd } from 'lockstep';
import { arrays } from 'lockstep/data';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simdLevel } from '../../src/kernels/wasm.ts';
import { browserPlatform } from '../../src/predict/browser-platform.ts';
import { loadPredictor } from '../../src/predict/predictor.ts';
import { philox } from '../fixtures/philox.ts';
import { modelBytes } from './stored-model.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const root = fileURLToPath(new URL('../..', import.meta.url));
const kernelFile = (name: string) => readFileSync(`${root}src/kernels/wasm/${name}.wasm`);

const job = defineJob({
  data: {
    train: arrays({
      x: { data: Uint8Array.from({ length: 40 * 100 }, (_, i) => (i * 37) % 256), shape: [40, 10, 10] },
      y: Int32Array.from({ length: 40 }, (_, i) => i % 4),
    }),
  },
  model: sequential(flatten(), dense(33, 'gelu'), dense(4)),
  loss: crossEntropy(),
  optimizer: sgd({ lr: 0.1 }),
  steps: 1,
}) as unknown as Job;

const random = philox(8);
const rows = Array.from({ length: 20 }, () => ({ x: Array.from({ length: 100 }, () => Math.floor(256 * random())) }));

/** What the page does: everything that a bundled application would. */
const PAGE = `
  import { LockstepError, Predictor } from './src/predict/browser.ts';
  window.answer = async (rows, options) => {
    const bytes = new Uint8Array(await (await fetch('/model.safetensors')).arrayBuffer());
    const predictor = await Predictor.load(bytes, options);
    const answers = await predictor.predict(rows);
    const single = await Promise.all(rows.map((row) => predictor.predict(row)));
    const error = await predictor.predict([rows[0], { x: [1] }]).catch((e) => e);
    const folder = await Predictor.load('runs/a').catch((e) => e);
    predictor.dispose();
    return {
      isolated: window.crossOriginIsolated, kernels: predictor.kernels, answers, single,
      error: [error instanceof LockstepError, error.code, error.message], folder: folder.code,
    };
  };
`;

interface PageResult {
  isolated: boolean;
  kernels: { gemm: string; simd: string };
  answers: unknown[];
  single: unknown[];
  error: [boolean, string, string];
  folder: string;
}

describe.skipIf(executablePath === undefined)('a Predictor in Chromium', () => {
  let browser: Browser;
  let server: Server;
  let url: string;
  let bytes: Uint8Array;

  beforeAll(async () => {
    bytes = await modelBytes(job);
    const bundle = await build({
      stdin: { contents: PAGE, resolveDir: root, loader: 'ts' },
      bundle: true,
      write: false,
      platform: 'browser',
      format: 'esm',
      target: 'es2022',
      logLevel: 'silent',
    });
    const files: Record<string, [type: string, body: string | Uint8Array]> = {
      '/': ['text/html', '<!doctype html><script type="module" src="/page.js"></script>'],
      '/page.js': ['text/javascript', bundle.outputFiles[0].contents],
      '/model.safetensors': ['application/octet-stream', bytes],
      '/wasm/relaxed.wasm': ['application/wasm', kernelFile('relaxed')],
      '/wasm/simd128.wasm': ['application/wasm', kernelFile('simd128')],
    };
    server = createServer((request, response) => {
      const [type, body] = files[request.url ?? ''] ?? [];
      response.writeHead(type ? 200 : 404, type ? { 'content-type': type } : {}).end(body); // no isolation headers
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([{ portable: true }, { portable: false }])(
    'answers as in Node, without cross-origin isolation (portable: $portable)',
    async ({ portable }) => {
      const page = await browser.newPage();
      const failures: string[] = [];
      page.on('pageerror', (error) => failures.push(String(error)));
      await page.goto(url);
      await page.waitForFunction('window.answer !== undefined');
      const code = `window.answer(${JSON.stringify(rows)}, ${JSON.stringify({ portable })})`;
      const result = (await page.evaluate(code)) as PageResult;
      expect(failures).toEqual([]);
      expect(result.isolated).toBe(false);
      expect(result.kernels.gemm).toBe('wasm');
      expect(result.single).toEqual(result.answers);
      expect(result.error.slice(0, 2)).toEqual([true, 'E_SHAPE']);
      expect(result.error[2]).toContain('rows[1], column "x"');
      expect(result.folder).toBe('E_OPTION');

      simdLevel();
      const simd = result.kernels.simd as 'simd128' | 'relaxed';
      expect(simd).toBe(portable ? 'simd128' : 'relaxed');
      const options = { portable, kernels: { [simd]: kernelFile(simd) } };
      const here = await loadPredictor(bytes, options, browserPlatform);
      expect(result.answers).toEqual(await here.predict(rows));
      here.dispose();
      await page.close();
    },
    60_000,
  );
});
