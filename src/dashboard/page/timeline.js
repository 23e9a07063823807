import { ms } from './format.js';

/** Phases of a worker's step in order, with the index of their colour. Waits are pale: they are what is lost. */
const PHASES = [
  ['gather', 4],
  ['forward', 0],
  ['backward', 6],
  ['wait', 'wait'],
  ['reduce', 2],
  ['wait', 'wait'],
  ['update', 3],
  ['wait', 'wait'],
];
const NAMES = ['gather', 'forward', 'backward', 'reduce', 'update', 'wait'];
const HUES = { gather: 4, forward: 0, backward: 6, reduce: 2, update: 3, wait: 'wait' };
const STEPS = 8;
const ROW = 22;
const GAP = 6;

function spans(step) {
  const { start, computed, gathered, reduced, normed, updated, done, gatherMs, forwardMs } = step;
  const ends = [start + gatherMs, start + gatherMs + forwardMs, computed, gathered, reduced, normed, updated, done];
  let from = start;
  return ends.map((to, i) => {
    const span = { phase: PHASES[i][0], hue: PHASES[i][1], from, to };
    from = to;
    return span;
  });
}

/** Draws what each worker did in the last steps, and fills the table of means. */
export function drawTimeline(section, records) {
  section.hidden = records.length === 0;
  if (records.length === 0) return;
  const last = Math.max(...records.map(({ step }) => step));
  const rows = new Map();
  for (const record of records) {
    const key = `${record.node ?? ''}/${record.rank}`;
    if (!rows.has(key))
      rows.set(key, { name: record.node ? `${record.node} ${record.rank}` : `${record.rank}`, records: [] });
    rows.get(key).records.push(record);
  }
  const workers = [...rows.values()];
  draw(
    section.querySelector('canvas'),
    workers.map((w) => ({ ...w, records: w.records.filter(({ step }) => step > last - STEPS) })),
  );
  table(section.querySelector('table'), workers);
  const legend = section.querySelector('#phases');
  if (legend.children.length > 0) return;
  legend.replaceChildren(
    ...NAMES.map((name) => {
      const item = document.createElement('li');
      item.append(
        Object.assign(document.createElement('i'), {
          className: `swatch block ${HUES[name] === 'wait' ? 'wait' : `c${HUES[name]}`}`,
        }),
        name,
      );
      return item;
    }),
  );
}

function draw(canvas, workers) {
  const style = getComputedStyle(document.documentElement);
  const paint = (hue) => style.getPropertyValue(hue === 'wait' ? '--wait' : `--c${hue}`).trim();
  const shown = workers.slice(0, 32);
  const width = canvas.clientWidth;
  const height = shown.length * (ROW + GAP) + 20;
  const ratio = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.font = '12px system-ui, sans-serif';
  const all = shown.flatMap(({ records }) => records);
  const [begin, end] = [Math.min(...all.map((r) => r.start)), Math.max(...all.map((r) => r.done))];
  const left = 8 + Math.max(...shown.map(({ name }) => g.measureText(name).width));
  const x = (t) => left + ((t - begin) / (end - begin || 1)) * (width - left);
  shown.forEach(({ name, records }, row) => {
    const top = row * (ROW + GAP);
    g.fillStyle = style.getPropertyValue('--soft');
    g.fillText(name, 0, top + 15);
    for (const record of records) {
      for (const { hue, from, to } of spans(record)) {
        const [a, b] = [x(from), x(to)];
        g.fillStyle = paint(hue);
        g.fillRect(a, top, Math.max(0.5, b - a), ROW);
      }
      g.fillStyle = style.getPropertyValue('--surface');
      g.fillRect(x(record.done) - 0.75, top, 1.5, ROW);
    }
  });
  g.fillStyle = style.getPropertyValue('--soft');
  const bottom = height - 4;
  g.fillText('0', left, bottom);
  const text = ms(end - begin);
  g.fillText(text, width - g.measureText(text).width, bottom);
}

function table(element, workers) {
  const head = document.createElement('tr');
  for (const [i, name] of ['worker', ...NAMES, 'step'].entries()) {
    head.append(
      Object.assign(document.createElement('th'), {
        scope: 'col',
        textContent: name,
        className: i === 0 ? '' : 'number',
      }),
    );
  }
  const rows = workers.slice(0, 64).map(({ name, records }) => {
    const row = document.createElement('tr');
    row.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: name }));
    const means = Object.fromEntries(NAMES.map((phase) => [phase, 0]));
    for (const record of records)
      for (const { phase, from, to } of spans(record)) means[phase] += (to - from) / records.length;
    const total = Object.values(means).reduce((a, b) => a + b, 0);
    for (const value of [...NAMES.map((phase) => means[phase]), total]) {
      row.append(
        Object.assign(document.createElement('td'), { className: 'number', textContent: ms(Math.max(0, value)) }),
      );
    }
    return row;
  });
  element.replaceChildren(head, ...rows);
}
