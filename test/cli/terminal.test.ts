import { describe, expect, it } from 'vitest';
import { paint, renderBar, renderEnd } from '../../src/cli/render.ts';
import { terminal } from '../../src/cli/terminal.ts';
import { Calendar } from '../../src/parallel/calendar.ts';
import type { RunHeader, StepRecord } from '../../src/record/contract.ts';
import type { TrainSummary } from '../../src/train/callbacks.ts';
import type { ProgressEvent } from '../../src/train/options.ts';

const ESC = '\x1b';
const header: RunHeader = {
  kind: 'header',
  job: {},
  versions: { lockstep: '0.1.0', node: '20.20.0' },
  seed: 7,
  machine: { cpu: 'Abacus 9000', cores: 4, memoryBytes: 1, platform: 'linux-x64' },
  kernels: {
    gemm: 'blas',
    simd: 'relaxed',
    detail: 'libopenblas.so.0 OpenBLAS 0.3.21 NO_AFFINITY SkylakeX MAX_THREADS=64 SkylakeX',
  },
  workers: 2,
  shards: 4,
  parameters: 669_706,
  startedAt: '2026-01-01T00:00:00.000Z',
};
const calendar = new Calendar({ stepsPerEpoch: 10, totalSteps: 20 });
const start: ProgressEvent = { kind: 'start', header, calendar, notes: ['no BLAS found'] };

function step(n: number, loss = 0.5): StepRecord {
  return {
    kind: 'step',
    step: n,
    epoch: Math.ceil(n / 10),
    loss,
    metrics: { accuracy: 0.75 },
    lr: 1e-3,
    gradNorm: 2.5,
    clipScale: 0.4,
    samples: 100,
    timings: { stepMs: 4, gatherMs: 0.5, computeMs: 2, waitMs: 1, reduceMs: 0.2, updateMs: 0.3 },
  };
}

const steps = (...records: StepRecord[]): ProgressEvent => ({
  kind: 'steps',
  records,
  calendar,
});
const evaluation = (n: number, split: 'val' | 'test' = 'val'): ProgressEvent => ({
  kind: 'evaluation',
  record: {
    kind: 'evaluation',
    step: n,
    epoch: Math.ceil(n / 10),
    split,
    metrics: { [`${split}.accuracy`]: 0.875 },
    seconds: 0.25,
  },
});
const epoch = (n: number): ProgressEvent => ({
  kind: 'epoch',
  epoch: n,
  step: 10 * n,
  loss: 0.5,
  metrics: { accuracy: 0.75 },
  samplesPerSec: 25_000,
  seconds: 0.04,
});
const summary: TrainSummary = {
  stopped: 'epochs',
  step: 20,
  trainedSteps: 20,
  epoch: 2,
  loss: 0.5,
  metrics: {},
  samplesPerSec: 25_000,
  seconds: 1.5,
  workers: 2,
  shards: 4,
  gemm: 'blas',
  parametersSha256: '0123456789abcdef0123456789abcdef',
  cpuSecondsPerWorker: [1, 1],
};
const end: ProgressEvent = { kind: 'end', summary };

it.each<[Partial<TrainSummary>, string]>([
  [{}, 'done: trained 20 steps in 1.50 s, 25.0 k samples/s, '],
  [{ stopped: 'steps', trainedSteps: 1 }, 'done: trained 1 step in 1.50 s, now at step 20, 25.0 k samples/s, '],
  [{ stopped: 'early-stopping' }, 'stopped early: trained 20 steps'],
  [{ stopped: 'callback' }, 'stopped by a callback: trained 20 steps'],
  [{ stopped: 'aborted' }, 'interrupted: trained 20 steps'],
  [
    { stopped: 'aborted', trainedSteps: 0 },
    'interrupted: trained 0 steps in 1.50 s, now at step 20, parameters sha256 ',
  ],
  [
    { trainedSteps: 0, samplesPerSec: 0 },
    'nothing left to train: the run had ended when it was done, after 20 steps, param',
  ],
  [{ stopped: 'early-stopping', trainedSteps: 0 }, 'nothing left to train: the run had ended early, after 20 steps'],
])('the last line says why a run ended: %j', (change, line) => {
  const text = renderEnd({ ...summary, ...change })
    .map((span) => span.text)
    .join('');
  expect(text.slice(0, line.length)).toBe(line);
  expect(text.endsWith('parameters sha256 0123456789abcdef')).toBe(true);
});

/** A terminal of some width whose clock the test moves. */
function screen(options: { columns?: number; interactive?: boolean; color?: boolean } = {}) {
  const writes: string[] = [];
  const clock = { ms: 0 };
  const progress = terminal({
    stream: { write: (text) => writes.push(text), columns: options.columns ?? 200 },
    interactive: options.interactive ?? true,
    color: options.color ?? false,
    now: () => clock.ms,
  });
  return { writes, clock, progress, text: () => writes.join('') };
}

/** What stays on the screen when escape sequences do what they say; one line of bar at most. */
function shown(text: string): string[] {
  const lines = [''];
  for (const part of text
    .replaceAll(`${ESC}[?25l`, '')
    .replaceAll(`${ESC}[?25h`, '')
    .split(new RegExp(`(\n|\r${ESC}\\[2K)`))) {
    if (part === '\n') lines.push('');
    else if (part.startsWith('\r')) lines[lines.length - 1] = '';
    else lines[lines.length - 1] += part;
  }
  return lines;
}

describe('terminal, drawing', () => {
  it('shows a whole run: header, a bar while it runs, a line an epoch with its evaluation, the end', () => {
    const { progress, clock, text } = screen();
    progress(start);
    clock.ms = 1000;
    progress(steps(step(1), step(2), step(3), step(4)));
    const bar = shown(text()).at(-1);
    expect(bar).toBe(
      'epoch 1/2  4/10 [============>-----------------] loss 0.5000  accuracy 0.7500  lr 0.001  grad 2.500  ' +
        '25.0 k samples/s  sync 25 %  ETA 0:04',
    );
    progress(evaluation(10));
    progress(epoch(1));
    clock.ms = 3000;
    progress(steps(step(11)));
    expect(shown(text()).at(-1)).toMatch(/^epoch 2\/2 {2}1\/10 \[===>-+\]/);
    progress({ kind: 'note', text: 'something to know' });
    progress(evaluation(15));
    progress(evaluation(20));
    progress(epoch(2));
    progress(evaluation(20, 'test'));
    progress(end);
    expect(shown(text())).toEqual([
      'lockstep 0.1.0 on node 20.20.0, Abacus 9000, 4 cores',
      '2 workers, 4 shards, gemm blas (libopenblas.so.0 OpenBLAS 0.3.21 SkylakeX), simd relaxed, seed 7',
      '669,706 parameters, 20 steps of which 10 an epoch',
      'note: no BLAS found',
      'epoch 1/2  step 10  loss 0.5000  accuracy 0.7500  val.accuracy 0.8750  25.0 k samples/s  sync 25 %  40 ms',
      'note: something to know',
      'evaluation  step 15  val.accuracy 0.8750  0.25 s',
      'epoch 2/2  step 20  loss 0.5000  accuracy 0.7500  val.accuracy 0.8750  25.0 k samples/s  sync 25 %  40 ms',
      'evaluation  step 20  test.accuracy 0.8750  0.25 s',
      'done: trained 20 steps in 1.50 s, 25.0 k samples/s, parameters sha256 0123456789abcdef',
      '',
    ]);
  });

  it('draws at most ten frames a second', () => {
    const { progress, clock, writes } = screen();
    progress(start);
    const before = writes.length;
    for (let ms = 0; ms < 1000; ms++) {
      clock.ms = ms;
      progress(steps(step(1 + Math.floor(ms / 100))));
    }
    expect(writes.length - before).toBe(10);
  });

  it('leaves the cursor visible after every write, so that no death can hide it', () => {
    const { progress, clock, writes } = screen();
    for (const event of [start, steps(step(1)), epoch(1), steps(step(11)), end]) {
      clock.ms += 1000;
      progress(event);
    }
    for (const write of writes) {
      expect(write.lastIndexOf(`${ESC}[?25h`)).toBeGreaterThanOrEqual(write.lastIndexOf(`${ESC}[?25l`));
    }
    expect(writes.some((write) => write.includes(`${ESC}[?25l`))).toBe(true);
  });

  it('never fills a line of the terminal, whatever its width', () => {
    for (let columns = 1; columns <= 160; columns++) {
      const { progress, clock, text } = screen({ columns, color: columns % 2 === 0 });
      progress(start);
      const before = shown(text()).length;
      clock.ms = 1000;
      progress(steps(step(1)));
      const bar = shown(text())
        .slice(before - 1)
        .join('');
      const seen = bar.replaceAll(new RegExp(`${ESC}\\[\\d+m`, 'g'), '');
      expect(seen.length).toBeLessThanOrEqual(Math.max(1, columns - 1));
    }
  });

  it('takes an unfinished bar away when closed, and only then', () => {
    const { progress, clock, text, writes } = screen();
    progress(start);
    clock.ms = 1000;
    progress(steps(step(1)));
    progress.close();
    expect(shown(text()).at(-1)).toBe('');
    const before = writes.length;
    progress.close();
    expect(writes).toHaveLength(before);
  });

  it('begins each epoch with fresh means', () => {
    const { progress, clock, text } = screen();
    progress(start);
    progress(steps(step(1, 100)));
    progress(epoch(1));
    clock.ms = 1000;
    progress(steps(step(11, 1), step(12, 3)));
    expect(shown(text()).at(-1)).toContain('loss 2.000');
  });

  it('estimates the rest of a resumed run from its own steps', () => {
    const { progress, clock, text } = screen();
    progress(start);
    clock.ms = 1000;
    progress(steps(step(17), step(18)));
    expect(shown(text()).at(-1)).toContain('ETA 0:01');
  });

  it('shows numbers that are none as they are', () => {
    const { progress, clock, text } = screen();
    progress(start);
    clock.ms = 1000;
    progress(steps(step(1, Number.NaN)));
    expect(shown(text()).at(-1)).toContain('loss NaN');
  });
});

describe('terminal, not drawing', () => {
  it('writes one line an epoch and no control characters', () => {
    const { progress, clock, text } = screen({ interactive: false });
    progress(start);
    for (let n = 1; n <= 20; n++) {
      clock.ms += 1000;
      progress(steps(step(n)));
      if (n === 10) progress(evaluation(10));
      if (n % 10 === 0) progress(epoch(n / 10));
    }
    progress(end);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must be absent
    expect(text()).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
    expect(
      text()
        .split('\n')
        .filter((line) => line.startsWith('epoch')),
    ).toHaveLength(2);
    expect(text().split('\n')[4]).toContain('val.accuracy 0.8750');
    expect(text().split('\n')[5]).not.toContain('val.accuracy');
  });

  it('is what a stream that is no terminal gets', () => {
    const writes: string[] = [];
    const progress = terminal({ stream: { write: (text) => writes.push(text) }, now: () => 0 });
    progress(start);
    progress(steps(step(1)));
    expect(writes.join('')).not.toContain(ESC);
    expect(writes).toHaveLength(1);
  });
});

describe('colour', () => {
  const draw = () => {
    const writes: string[] = [];
    const progress = terminal({ stream: { write: (text) => writes.push(text), isTTY: true }, now: () => 0 });
    progress(start);
    return writes.join('');
  };
  const withVariable = (name: string, value: string | undefined, fn: () => void) => {
    const before = process.env[name];
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
    try {
      fn();
    } finally {
      if (before === undefined) delete process.env[name];
      else process.env[name] = before;
    }
  };

  it('is there on a terminal unless NO_COLOR says otherwise', () => {
    withVariable('TERM', 'xterm', () => {
      withVariable('NO_COLOR', undefined, () => expect(draw()).toContain(`${ESC}[1m`));
      withVariable('NO_COLOR', '1', () => expect(draw()).not.toContain(`${ESC}[1m`));
    });
  });
});

describe('paint', () => {
  it('cuts by what is seen, not by escape sequences, and closes what it opened', () => {
    const line = [
      { text: 'abc', style: 'bold' },
      { text: 'def', style: 'plain' },
    ] as const;
    expect(paint(line, { columns: 4, color: true })).toBe(`${ESC}[1mabc${ESC}[0md`);
    expect(paint(line, { columns: 2, color: true })).toBe(`${ESC}[1mab${ESC}[0m`);
    expect(paint(line, { columns: 9, color: false })).toBe('abcdef');
  });

  it('lets no name move the cursor', () => {
    expect(paint([{ text: `a\n\r${ESC}[2Jb`, style: 'plain' }], { columns: 80, color: false })).toBe('a   [2Jb');
  });
});

describe('renderBar', () => {
  const state = {
    epoch: 1,
    epochs: 1,
    done: 0,
    total: 100,
    loss: 1,
    metrics: {},
    lr: 1,
    gradNorm: 1,
    samplesPerSec: 1,
    syncShare: 0,
    etaSeconds: 1,
  };
  const barAt = (done: number) => renderBar({ ...state, done }, 300)[1].text;

  it('is empty at the start, full at the end and never shrinks', () => {
    expect(barAt(0)).toMatch(/^\[>-{29}\] $/);
    expect(barAt(100)).toMatch(/^\[={30}\] $/);
    let before = 0;
    for (let done = 0; done <= 100; done++) {
      const full = barAt(done).split('=').length;
      expect(full).toBeGreaterThanOrEqual(before);
      before = full;
    }
  });

  it('gives way to the figures on narrow terminals', () => {
    expect(renderBar(state, 60)[1].text).toBe('');
  });
});
