import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import { adam, crossEntropy, defineJob, dense, sequential, train } from 'lockstep';
import { arrays } from 'lockstep/data';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Dashboard, openDashboard } from '../../src/dashboard/dashboard.ts';
import { openFolders } from '../../src/dashboard/folders.ts';
import { JsonlSink } from '../../src/record/jsonl.ts';
import { blobs } from '../fixtures/blobs.ts';
import { evaluation, header, step } from '../record/fixtures.ts';

const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const folder = mkdtempSync(join(tmpdir(), 'lockstep-page-'));

/** Trains until it is stopped, on one worker, in steps of some milliseconds: the page is to have its share of the machine. */
const job = defineJob({
  data: { train: arrays(blobs(32_768, 16, 4)), validation: 512 / 32_768 },
  model: sequential(dense(256, 'relu'), dense(4)),
  loss: crossEntropy(),
  optimizer: adam({ lr: 1e-4 }),
  batchSize: 4096,
  epochs: 1_000_000,
});

interface StepLine {
  readonly kind: string;
  readonly event?: string;
  readonly step: number;
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
}
const linesOf = (runDir: string): StepLine[] =>
  readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line)); // biome-ignore format: one line

/** What a browser says when a connection is cut, as the test does. */
const CUT = /ERR_(INCOMPLETE_CHUNKED_ENCODING|CONNECTION_(REFUSED|RESET)|EMPTY_RESPONSE)/;

/** A tunnel to a page, as ssh makes it, which can be cut. */
async function tunnel({ url, port }: Dashboard) {
  const sockets = new Set<Socket>();
  let open = true;
  const server = createServer((near) => {
    if (!open) return void near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => to.destroy()).on('close', () => to.destroy()).pipe(to); // biome-ignore format: one line
    sockets.add(near);
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const here = new URL(url);
  here.port = String((server.address() as AddressInfo).port);
  return {
    url: here.href,
    cut() {
      open = false;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      open = true;
    },
    close() {
      server.close();
      this.cut();
    },
  };
}

describe.skipIf(executablePath === undefined)('the page in Chromium', () => {
  let browser: Browser;
  let context: BrowserContext;
  /** What went wrong in any page, and what any page has asked for elsewhere. */
  const failures: string[] = [];

  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
    context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true });
  });

  async function open({ url }: { readonly url: string }, where = context): Promise<Page> {
    const page = await where.newPage();
    page.on('pageerror', (error) => failures.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && !CUT.test(message.text()) && failures.push(message.text())); // biome-ignore format: one line
    page.on('request', (request) => {
      const { protocol, host } = new URL(request.url());
      if (protocol !== 'data:' && host !== new URL(url).host) failures.push(`asked for ${request.url()}`);
    });
    await page.goto(url);
    return page;
  }

  /** What axe, which knows the rules for accessible pages (WCAG 2.1 AA: names, contrast, keyboard), finds wrong. */
  async function inaccessible(page: Page): Promise<string[]> {
    await page.evaluate(axe.source);
    const found = await page.evaluate<axe.AxeResults>("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })"); // biome-ignore format: one line
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`);
  }

  const state = (page: Page, name: string) => page.locator(`#state[data-state="${name}"]`).waitFor();

  /** The rows of a chart's table: column names to numbers. */
  async function tableOf(page: Page, chart: string): Promise<Record<string, number>[]> {
    const button = page.locator(`#chart-${chart} .more`);
    if ((await button.getAttribute('aria-expanded')) === 'false') await button.click();
    const rows = await page.locator(`#chart-${chart} .values tr`).evaluateAll((all) => all.map((row) => [...row.children].map((cell) => cell.textContent ?? ''))); // biome-ignore format: one line
    const [names, ...values] = rows;
    return values.map((cells) =>
      Object.fromEntries(names.map((name, i) => [name, cells[i] === '' ? Number.NaN : Number(cells[i])])),
    );
  }

  /** The page's numbers are those of metrics.jsonl, or the means of as many of its steps as it says. */
  async function expectSame(page: Page, runDir: string, least: number): Promise<void> {
    const steps = linesOf(runDir).filter(({ kind }) => kind === 'step');
    for (const [chart, numberOf] of [
      ['loss', (line: StepLine) => line.loss],
      ['metric-accuracy', (line: StepLine) => line.metrics.accuracy],
    ] as const) {
      const rows = (await tableOf(page, chart)).filter(({ training }) => !Number.isNaN(training));
      expect(rows.length).toBeGreaterThanOrEqual(least);
      for (const { step: last, 'mean of steps': count = 1, training } of rows) {
        const among = steps.filter((line) => line.step > last - count && line.step <= last).map(numberOf);
        expect(among).toHaveLength(count);
        const mean = among.reduce((a, b) => a + b) / count;
        expect(Math.abs(training - mean)).toBeLessThan(2e-6 * Math.abs(mean) + 1e-9);
      }
    }
  }

  it('shows a run as it is trained; pauses, resumes, saves and stops it; has the numbers of metrics.jsonl', async () => {
    const dashboard = await openDashboard({ port: 0 });
    const runDir = join(folder, 'live');
    const { sink, controls } = dashboard.watch('live');
    const training = train(job, { workers: 1, runDir, sinks: [sink], controls });
    const through = await tunnel(dashboard);
    try {
      const page = await open(through);
      await state(page, 'running');
      through.cut();
      await state(page, 'away');
      expect(await page.getByRole('button', { name: 'Pause' }).isDisabled()).toBe(true);
      through.mend();
      await state(page, 'running');
      await expect
        .poll(() => linesOf(runDir).some(({ kind }) => kind === 'evaluation'), { timeout: 30_000 })
        .toBe(true);
      await page.getByRole('button', { name: 'Pause' }).click();
      await state(page, 'paused');
      expect(controls.state).toBe('paused');
      await page.locator('#event-list [data-event="pause"]').waitFor();
      const paused = linesOf(runDir).findLast(({ kind }) => kind === 'step')?.step ?? 0;
      await expectSame(page, runDir, 1);
      expect(await page.locator('#where').textContent()).toContain(`step ${paused.toLocaleString('en-US')} of`);

      await page.reload();
      await state(page, 'paused');
      await page.locator('#chart-loss canvas').waitFor();
      await expectSame(page, runDir, 1);
      const validation = (await tableOf(page, 'loss')).filter((row) => !Number.isNaN(row.validation));
      expect(validation.length).toBeGreaterThan(0);
      await page.getByRole('button', { name: 'Checkpoint' }).click();
      await page.locator('#event-list [data-event="checkpoint"]').first().waitFor();
      for (const panel of ['workers', 'nodes', 'model', 'job'])
        expect(await page.locator(`#${panel}`).isVisible()).toBe(true);
      expect(await page.locator('#phase-table tr').count()).toBe(2); // head and worker

      await page.getByRole('button', { name: 'Resume' }).click();
      await state(page, 'running');
      await page.getByRole('button', { name: 'Stop' }).click();
      await page.locator('#ask').getByRole('button', { name: 'Stop' }).click();
      const result = await training;
      expect(result.stopped).toBe('aborted');
      expect(result.step).toBeGreaterThan(paused);
      await dashboard.close();
      await page.locator('#event-list [data-event="end"]').waitFor();
      await state(page, 'ended');
      await expectSame(page, runDir, 2);
      expect(linesOf(runDir).flatMap(({ event }) => event ?? []).filter((name) => ['pause', 'resume', 'stop'].includes(name))).toEqual(['pause', 'resume', 'stop']); // biome-ignore format: one line
      await page.close();
    } finally {
      controls.stop();
      await training;
      await dashboard.close();
      through.close();
    }
    expect(failures).toEqual([]);
  }, 240_000);

  it('feeds 20 pages at once, in one browser', async () => {
    const dashboard = await openDashboard({ port: 0 });
    try {
      const { sink } = dashboard.watch('many');
      await sink.open(header);
      void sink.write([step(1)]);
      const many = await browser.newContext({ viewport: { width: 300, height: 200 } });
      const pages = await Promise.all(Array.from({ length: 20 }, () => open(dashboard, many)));
      const reads = (text: string) =>
        Promise.all(
          pages.map((page) => page.locator('#figures dd', { hasText: text }).first().waitFor({ state: 'attached' })),
        );
      await reads('1');
      await sink.write([step(2, 0.375), { ...evaluation, metrics: { 'val.loss': 0.4321 } }]);
      await reads('0.4321');
      await many.close();
    } finally {
      await dashboard.close();
    }
    expect(failures).toEqual([]);
  }, 240_000);

  it('keeps the few evaluations of a long run in the table of a curve', async () => {
    const dashboard = await openDashboard({ port: 0 });
    try {
      const { sink } = dashboard.watch('thinned');
      const job = { metrics: ['accuracy'], totalSteps: 450, batchSize: 1, rows: { train: 100 } };
      await sink.open({ ...header, job });
      const steps = Array.from({ length: 450 }, (_, s) => step(s + 1));
      // Wherever a table takes every second or third step from the end, it misses some of these.
      const evaluated = [100, 201, 302, 400, 449];
      await sink.write(
        steps.flatMap((line) => {
          const metrics = { 'val.loss': line.step / 1000 };
          return evaluated.includes(line.step) ? [line, { ...evaluation, step: line.step, metrics }] : [line];
        }),
      );
      const page = await open(dashboard);
      await page.locator('#chart-loss canvas').waitFor();
      const rows = await tableOf(page, 'loss');
      const validation = rows.filter((row) => !Number.isNaN(row.validation));
      expect(validation.map((row) => [row.step, row.validation])).toEqual(evaluated.map((n) => [n, n / 1000]));
      expect(rows.at(-1)?.step).toBe(450);
      expect(rows.length).toBeLessThanOrEqual(200 + evaluated.length);
    } finally {
      await dashboard.close();
    }
    expect(failures).toEqual([]);
  }, 240_000);

  it('lays finished runs over each other, counts damaged lines, zooms finely, and reads by keyboard', async () => {
    const folders = ['a', 'b'].map((name) => join(folder, name));
    const LENGTH = 20_000; // more than are kept one by one
    for (const [i, runDir] of folders.entries()) {
      const sink = new JsonlSink(runDir);
      await sink.open({
        ...header,
        job: { metrics: ['accuracy'], totalSteps: LENGTH, batchSize: 1, rows: { train: 100 } },
      });
      // One peak, that no thinning may lose.
      void sink.write(Array.from({ length: LENGTH }, (_, s) => step(s + 1, s === 10_000 ? 50 : 1 + i)));
      await sink.close();
    }
    appendFileSync(join(folders[0], 'metrics.jsonl'), '{"kind":"st\n\0\n');
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'empty', 'metrics.jsonl'), ''); // it has not begun
    const dashboard = await openDashboard({ port: 0, title: '3 runs' });
    const opened = await openFolders(dashboard.board, [...folders, join(folder, 'empty')]);
    try {
      expect(opened.damagedLines).toBe(2);
      const page = await open(dashboard);
      await page.locator('#runs input').nth(2).waitFor();
      expect(await page.locator('#notice').textContent()).toContain('2 lines of metrics.jsonl could not be read');
      expect(await page.locator('#title').textContent()).toBe('3 runs');
      expect(await page.locator('#buttons').isVisible()).toBe(false);
      expect(await inaccessible(page)).toEqual([]);
      const [{ a, b }] = await tableOf(page, 'loss');
      expect([a, b]).toEqual([1, 2]);

      await page.locator('#runs input').nth(1).uncheck();
      await page.locator('#chart-loss th', { hasText: /^b$/ }).waitFor({ state: 'detached' });
      const box = await page.locator('#chart-loss .u-over').boundingBox();
      if (!box) throw new Error('no plot');
      await page.mouse.move(box.x + box.width * 0.495, box.y + 50);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.505, box.y + 50, { steps: 3 });
      await page.mouse.up();
      await page.getByRole('button', { name: 'Whole run' }).waitFor();
      await expect
        .poll(async () => Math.max(...(await tableOf(page, 'loss')).map((row) => row.a)), { timeout: 10_000 })
        .toBe(25.5); // the peak and its neighbour
      await page.locator('#chart-loss .plot').focus();
      await page.keyboard.press('ArrowLeft');
      expect(await page.locator('#chart-loss .readout').textContent()).toMatch(/^step [\d,]+/);
      expect(await page.locator('#spoken').textContent()).toMatch(/^Loss: step [\d,]+, a /);
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Whole run' }).waitFor({ state: 'hidden' });
      await page.close();
    } finally {
      await opened.close();
      await dashboard.close();
    }
    expect(failures).toEqual([]);
  }, 240_000);

  it('fits a phone, light and dark, can be used by everybody, and shows nodes, clipped steps and long names', async () => {
    const name = 'long-'.repeat(40);
    const dashboard = await openDashboard({ port: 0 });
    const phone = await browser.newContext({ viewport: { width: 360, height: 740 } });
    // As Chrome on Android: every page has its own connection.
    await phone.addInitScript('delete globalThis.SharedWorker');
    try {
      const { sink } = dashboard.watch(name);
      await sink.open({ ...header, job: { metrics: ['accuracy'], totalSteps: 9, batchSize: 1, rows: { train: 9 } } });
      void sink.write([step(1), { ...step(2), clipScale: 0.5 }, step(3), evaluation]);
      void sink.write([
        { kind: 'event', event: 'lost', step: 2, at: new Date().toISOString(), text: `${name} is lost` },
      ]);
      const node = { workers: 2, shards: 4, sentBytes: 1e9, receivedBytes: 1e6 };
      const rows = [{ ...node, name, state: 'lost' }, { ...node, name: 'n2', state: 'working', heartbeatAgeMs: 9000, straggler: 'takes 50 % longer' }] as const; // biome-ignore format: one line
      dashboard.setNodes(rows);
      for (let s = 1; s < 4; s++) dashboard.addSteps([{ node: 'n2', step: s, start: 10 * s, computeFrom: 10 * s + 1, computeTo: 10 * s + 6, end: 10 * s + 9 }]); // biome-ignore format: one line
      const page = await open(dashboard, phone);
      await page.locator('#chart-loss canvas').waitFor();
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
      expect(await page.locator('#node-table tr').allTextContents()).toEqual([
        'nodestateworkersshardsheardsentreceived',
        `${name}lost24–1.00 GB1.00 MB`,
        'n2working249.0 s ago1.00 GB1.00 MB',
        'takes 50 % longer',
      ]);
      expect(await page.locator('#phase-table tr').allTextContents()).toEqual([
        'workercomputenetworkstep',
        'n25 ms4 ms9 ms',
      ]);
      expect(await page.locator('#chart-gradient .readout').textContent()).toContain('clipped');
      expect(await tableOf(page, 'gradient')).toMatchObject([{ step: 1, clipped: Number.NaN }, { step: 2, clipped: 1 }, { step: 3, clipped: Number.NaN }]); // biome-ignore format: one line
      // What curves look like is a choice; the numbers stay.
      await page.locator('#log').check();
      await page.locator('#smoothing').fill('0');
      await page.locator('#by-time').click();
      expect(await tableOf(page, 'loss')).toMatchObject([{ seconds: 0.001, training: 1 }, { training: 0.5 }, { seconds: 0.003, training: Number((1 / 3).toPrecision(7)) }]); // biome-ignore format: one line
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await inaccessible(page)).toEqual([]);
        const ground = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
        expect(Number(/\d+/.exec(ground)?.[0]) > 128).toBe(colorScheme === 'light');
      }
      await sink.write([step(4)]);
      await page.locator('#where', { hasText: 'step 4 of 9' }).waitFor();
    } finally {
      await phone.close();
      await dashboard.close();
    }
    expect(failures).toEqual([]);
  }, 240_000);
});
