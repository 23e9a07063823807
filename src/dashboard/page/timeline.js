import { ms } from './format.js';

/** What workers and nodes can be at, with the index of its colour. Waits are pale: they are what is lost. */
const ACTIVITIES = [
  ['gather', 4],
  ['forward', 0],
  ['backward', 6],
  ['compute', 0],
  ['reduce', 2],
  ['update', 3],
  ['network', 1],
  ['wait', 'wait'],
];
const HUES = Object.fromEntries(ACTIVITIES);
const DRAWN = 32;
const ROW = 22;
const GAP = 6;

/** Draws what each worker and node did in the last steps, and fills the table of means. */
export function drawTimeline(section, { rows, leftOut }) {
  section.hidden = rows.length === 0;
  if (rows.length === 0) return;
  const share = ({ meanMs }, name) => (meanMs[name] ?? 0) / Object.values(meanMs).reduce((a, b) => a + b, 1e-9);
  const names = ACTIVITIES.map(([name]) => name).filter((name) => rows.some((row) => share(row, name) > 1e-4));
  draw(section.querySelector('canvas'), rows.slice(0, DRAWN));
  fillTable(section.querySelector('table'), rows, names);
  const note = section.querySelector('#left-out');
  const [more, others] = [
    rows.length > DRAWN ? `The picture has the first ${DRAWN}. ` : '',
    leftOut > 0 ? `${leftOut} more are not shown.` : '',
  ];
  note.textContent = more + others;
  note.hidden = note.textContent === '';
  const legend = section.querySelector('#phases');
  if (legend.dataset.names === names.join()) return;
  legend.dataset.names = names.join();
  legend.replaceChildren(
    ...names.map((name) => {
      const item = document.createElement('li');
      const className = `swatch block ${HUES[name] === 'wait' ? 'wait' : `c${HUES[name]}`}`;
      item.append(Object.assign(document.createElement('i'), { className }), name);
      return item;
    }),
  );
}

function draw(canvas, rows) {
  const style = getComputedStyle(document.documentElement);
  const paint = (hue) => style.getPropertyValue(hue === 'wait' ? '--wait' : `--c${hue}`).trim();
  const colors = Object.fromEntries(ACTIVITIES.map(([name, hue]) => [name, paint(hue)]));
  const [soft, surface] = [style.getPropertyValue('--soft'), style.getPropertyValue('--surface')];
  const width = canvas.clientWidth;
  const height = rows.length * (ROW + GAP) + 20;
  const ratio = devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const g = canvas.getContext('2d');
  g.scale(ratio, ratio);
  g.font = '12px system-ui, sans-serif';
  const short = rows.map(({ name }) => fitted(g, name, width / 4));
  const end = Math.max(...rows.flatMap(({ steps }) => steps.map(({ spans }) => spans.at(-1)[2])));
  const left = 8 + Math.max(...short.map((name) => g.measureText(name).width));
  const x = (t) => left + (t / (end || 1)) * (width - left);
  rows.forEach(({ steps }, row) => {
    const top = row * (ROW + GAP);
    g.fillStyle = soft;
    g.fillText(short[row], 0, top + 15);
    for (const { spans } of steps) {
      for (const [what, from, to] of spans) {
        g.fillStyle = colors[what];
        g.fillRect(x(from), top, Math.max(0.5, x(to) - x(from)), ROW);
      }
      g.fillStyle = surface;
      g.fillRect(x(spans.at(-1)[2]) - 0.75, top, 1.5, ROW);
    }
  });
  g.fillStyle = soft;
  g.fillText('0', left, height - 4);
  const text = ms(end);
  g.fillText(text, width - g.measureText(text).width, height - 4);
}

/** As much of a text as there is room for. */
function fitted(g, text, width) {
  let shown = text;
  while (shown.length > 1 && g.measureText(`${shown}…`).width > width) shown = shown.slice(0, -1);
  return shown === text || g.measureText(text).width <= width ? text : `${shown}…`;
}

function fillTable(element, rows, names) {
  const head = document.createElement('tr');
  for (const [i, name] of ['worker', ...names, 'step'].entries()) {
    const className = i === 0 ? '' : 'number';
    head.append(Object.assign(document.createElement('th'), { scope: 'col', textContent: name, className }));
  }
  const lines = rows.map(({ name, meanMs }) => {
    const row = document.createElement('tr');
    row.append(Object.assign(document.createElement('th'), { scope: 'row', textContent: name }));
    const total = Object.values(meanMs).reduce((a, b) => a + b, 0);
    for (const value of [...names.map((what) => meanMs[what]), total]) {
      const textContent = value === undefined ? '–' : ms(value);
      row.append(Object.assign(document.createElement('td'), { className: 'number', textContent }));
    }
    return row;
  });
  element.replaceChildren(head, ...lines);
}
