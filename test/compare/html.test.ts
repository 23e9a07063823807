import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { renderReport } from '../../src/compare/html.ts';
import { jobProfiles, type Report } from '../../src/compare/report.ts';
import { fakeJobReport, fakeReport } from './fake-report.ts';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

interface Seen {
  readonly text: number;
  readonly back: number;
  readonly charts: readonly number[];
  readonly drawn: number;
  readonly wide: boolean;
  /** Tables of which a part is out of sight. */
  readonly cut: number;
  readonly head: string;
}

/** Runs in the page: brightness of text and background, widths of charts, lines drawn, overflow. */
const LOOK = `(() => {
  const brightness = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, c) => sum + Number(c), 0) / 3;
  const style = getComputedStyle(document.body);
  const root = document.documentElement;
  return {
    text: brightness(style.color),
    back: brightness(style.backgroundColor),
    charts: [...document.querySelectorAll('figure svg')].map((svg) => svg.getBoundingClientRect().width),
    drawn: [...document.querySelectorAll('svg path')].filter((line) => line.getBoundingClientRect().width > 100).length,
    wide: root.scrollWidth > root.clientWidth,
    cut: [...document.querySelectorAll('.job > .scroll')].filter((t) => t.scrollWidth > t.clientWidth).length,
    head: document.querySelector('.recommendation .head').textContent,
  };
})()`;

let report: Report;
let several: Report;
beforeAll(async () => {
  const humps = {
    adam: { best: 0.001, top: 0.95 },
    sgd: { best: 0.1, top: 0.9, limit: 0.5 },
    '<lion>': { best: 0.0003, top: 0.93 },
    broken: { best: 1, top: 1, crashes: () => true },
  };
  const job = await fakeJobReport(humps);
  report = fakeReport(job);
  several = { ...fakeReport(job, { ...job, name: 'second' }), profiles: jobProfiles([job, job]) };
});

describe('the page', () => {
  it('asks for nothing outside itself', () => {
    const page = renderReport(several);
    const addresses = [...page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/g)].map((match) => match[1]);
    expect(addresses.filter((address) => !address.startsWith('data:') && !address.startsWith('#'))).toEqual([]);
    expect(page).not.toMatch(/<script/i);
    expect(page).not.toMatch(/@import/);
  });

  it('shows names as text, not as markup', () => {
    const page = renderReport(report);
    expect(page).toContain('&lt;lion&gt;');
    expect(page).not.toContain('<lion>');
    expect(page).toContain('a &lt;fast&gt; &amp; new one');
  });

  it('holds charts for curves, sensitivity, time and profile', () => {
    const page = renderReport(report);
    const captions = [...page.matchAll(/<figcaption>(.*?)<\/figcaption>/g)].map((match) => match[1]);
    expect(captions).toEqual([
      'Training loss',
      'Validation: val.accuracy',
      'Learning-rate sensitivity',
      'Time to target',
      'Performance profile over seeds',
    ]);
    expect(page.match(/<svg/g)).toHaveLength(5);
    expect(page).not.toMatch(/NaN|undefined/);
  });
});

describe.skipIf(CHROMIUM === undefined)('the page in a browser', () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lockstep-report-'));
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
  });
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it.each(['light', 'dark'] as const)('is readable and complete, %s', async (colorScheme) => {
    const file = join(folder, `${colorScheme}.html`);
    await writeFile(file, renderReport(several));
    const page = await browser.newPage({ colorScheme, viewport: { width: 900, height: 1200 } });
    const problems: string[] = [];
    page.on('console', (message) => problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('request', (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`request ${request.url()}`);
    });
    await page.goto(pathToFileURL(file).href);
    expect(problems).toEqual([]);

    const seen: Seen = await page.evaluate(LOOK);
    expect(Math.abs(seen.text - seen.back)).toBeGreaterThan(150);
    expect(seen.back > 128).toBe(colorScheme === 'light');
    expect(seen.charts).toHaveLength(11);
    for (const width of seen.charts) expect(width).toBeGreaterThan(300);
    expect(seen.drawn).toBeGreaterThan(20);
    expect(seen.wide).toBe(false);
    expect(seen.cut).toBe(0);
    expect(seen.head).toMatch(/^Use (adam|<lion>) with lr /);
    await page.close();
  });
});
