import { duration, number, percent, rate, shortened, whole } from './format.js';
import uPlot from './uplot.js';

/** How all charts are drawn. */
export const view = { smoothing: 0.6, log: false, byTime: false, zoom: undefined };

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const color = (index) => css(`--c${index % 8}`);
const PHASES = [
  ['computeMs', 'forward, backward', 0],
  ['reduceMs', 'reduce', 2],
  ['updateMs', 'update', 3],
  ['gatherMs', 'gather', 4],
  ['waitMs', 'wait', 'wait'],
];

/** Exponential moving average without the bias of its start (as Adam corrects it). */
function smooth(values, factor) {
  if (factor === 0) return values;
  let [mean, weight] = [0, 0];
  return values.map((value) => {
    if (value === null || value === undefined) return value;
    mean = factor * mean + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return mean / weight;
  });
}

const xOf = (curves) => (view.byTime ? (curves.mean.seconds ?? []) : curves.step);
const curvesOf = (run) => (view.zoom && run.detail) || run.curves;
const ofRun = (run, label, several) => (several ? (label === 'training' ? run.name : `${run.name} ${label}`) : label);

/** A curve of steps: smoothed, with its values behind it, and between least and greatest shaded. */
function stepLine(run, name, { label, hue, several, band = true, scale = (v) => v }) {
  const curves = curvesOf(run);
  const values = (curves.mean[name] ?? []).map((v) => (v === null ? null : scale(v)));
  const banded = band && !several && curves.min[name] && curves.count.some((n) => n > 1);
  return {
    label: ofRun(run, label, several),
    hue,
    x: xOf(curves),
    count: curves.count,
    y: smooth(values, view.smoothing),
    measured: values,
    raw: view.smoothing > 0 && !banded && !several ? values : undefined,
    min: banded ? curves.min[name] : undefined,
    max: banded ? curves.max[name] : undefined,
  };
}

function evaluationLine(run, name, { hue, several }) {
  const { evaluations } = run;
  const y = evaluations.mean[name] ?? [];
  return {
    label: ofRun(run, 'validation', several),
    hue,
    x: xOf(evaluations),
    y,
    points: y.length < 60 && !several,
    dash: several ? [5, 4] : undefined,
  };
}

const hueOf = (run, runs) => {
  const groups = [...new Set(runs.map(({ group }) => group))];
  return groups.indexOf(run.group);
};

/** Training and validation of one metric, over all runs. */
function metricLines(name) {
  return ({ runs, shown }) => {
    const several = runs.length > 1;
    return shown.flatMap((run) => [
      ...(run.curves.mean[name]
        ? [stepLine(run, name, { label: 'training', hue: several ? hueOf(run, runs) : 0, several })]
        : []),
      ...(run.evaluations.mean[`val.${name}`]
        ? [evaluationLine(run, `val.${name}`, { hue: several ? hueOf(run, runs) : 1, several })]
        : []),
    ]);
  };
}

function ratio(run, over, under, factor) {
  const { mean } = curvesOf(run);
  return (mean[under] ?? []).map((v, i) => (v > 0 && mean[over][i] !== null ? (factor * mean[over][i]) / v : null));
}

/** A curve that is a quotient of two means: samples a second, the share of waiting. */
function ratioLines(over, under, factor, label) {
  return ({ runs, shown }) =>
    shown.map((run) => ({
      label: runs.length > 1 ? run.name : label,
      hue: runs.length > 1 ? hueOf(run, runs) : 0,
      x: xOf(curvesOf(run)),
      y: smooth(ratio(run, over, under, factor), view.smoothing),
      raw: view.smoothing > 0 && runs.length === 1 ? ratio(run, over, under, factor) : undefined,
    }));
}

function gradientLines({ runs, shown }) {
  const several = runs.length > 1;
  return shown.flatMap((run) => {
    const line = stepLine(run, 'gradNorm', {
      label: several ? 'training' : 'before clipping',
      hue: several ? hueOf(run, runs) : 0,
      several,
    });
    const { mean } = curvesOf(run);
    // Of several steps in one place those with the greatest norms are clipped.
    const norms = curvesOf(run).max.gradNorm ?? mean.gradNorm;
    const marks = (mean.clipped ?? []).map((share, i) => (share > 0 ? norms[i] : null));
    if (several || !marks.some((v) => v !== null)) return [line];
    return [line, { label: 'clipped', hue: 1, x: line.x, y: marks, marks: true }];
  });
}

/** Stacked: the topmost is drawn first. Of several runs the whole steps. */
function phaseLines({ runs, shown }) {
  if (runs.length > 1) {
    return shown.map((run) => ({
      ...stepLine(run, 'stepMs', { label: 'training', hue: hueOf(run, runs), several: true }),
      label: run.name,
    }));
  }
  const [run] = shown;
  if (!run) return [];
  const curves = curvesOf(run);
  const parts = PHASES.map(([name, label, hue]) => ({
    label,
    hue,
    own: smooth(curves.mean[name] ?? [], view.smoothing),
  }));
  let below = parts[0].own.map(() => 0);
  const lines = parts.map(({ label, hue, own }) => {
    below = below.map((v, i) => v + (own[i] ?? 0));
    return { label, hue, x: xOf(curves), y: below, own, filled: true };
  });
  return lines.reverse();
}

/** Which charts the runs call for. */
export function chartSpecs(store) {
  const names = [
    ...new Set(store.runs.flatMap((run) => [...metricNames(run.curves.mean), ...metricNames(run.evaluations.mean)])),
  ];
  const any = (name) => store.runs.some((run) => run.curves.mean[name]?.some((v) => v !== null));
  return [
    { id: 'loss', title: 'Loss', wide: true, log: true, format: number, lines: metricLines('loss') },
    ...names.map((name) => ({
      id: `metric-${name}`,
      title: name[0].toUpperCase() + name.slice(1),
      format: number,
      lines: metricLines(name),
    })),
    ...(any('gradNorm') ? [{ id: 'gradient', title: 'Gradient norm', format: number, lines: gradientLines }] : []),
    ...(any('lr')
      ? [
          {
            id: 'lr',
            title: 'Learning rate',
            format: number,
            lines: ({ runs, shown }) =>
              shown.map((run) => ({
                ...stepLine(run, 'lr', {
                  label: 'training',
                  hue: runs.length > 1 ? hueOf(run, runs) : 0,
                  several: runs.length > 1,
                  band: false,
                }),
                y: curvesOf(run).mean.lr ?? [],
                raw: undefined,
                label: runs.length > 1 ? run.name : 'lr',
              })),
          },
        ]
      : []),
    ...(any('stepMs')
      ? [
          {
            id: 'rate',
            title: 'Throughput',
            unit: 'samples/s',
            format: rate,
            lines: ratioLines('samples', 'stepMs', 1000, 'samples/s'),
          },
        ]
      : []),
    ...(any('waitMs')
      ? [
          {
            id: 'sync',
            title: 'Synchronisation',
            unit: 'share of a step spent waiting',
            format: percent,
            lines: ratioLines('waitMs', 'stepMs', 1, 'waiting'),
          },
          { id: 'phases', title: 'Time of a step', unit: 'ms, worker 0', format: number, lines: phaseLines },
        ]
      : []),
  ];
}

const OWN = new Set([
  'seconds',
  'loss',
  'lr',
  'gradNorm',
  'clipped',
  'samples',
  'stepMs',
  'gatherMs',
  'computeMs',
  'waitMs',
  'reduceMs',
  'updateMs',
]);
const metricNames = (mean) =>
  Object.keys(mean)
    .map((name) => name.replace(/^val\./, ''))
    .filter((name) => !OWN.has(name));

const shortSteps = (value) => (value >= 1e6 ? `${value / 1e6}M` : value >= 1e4 ? `${value / 1e3}k` : whole(value));
/** Seconds between two ticks of an axis of time. */
const TIME_STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  14_400, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000,
];
/** Steps between two ticks: whole ones. */
const STEP_STEPS = Array.from({ length: 30 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
const two = (value) => String(value).padStart(2, '0');
function shortTime(seconds) {
  if (seconds < 60) return `${Number(seconds.toPrecision(3))} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes}:${two(Math.round(seconds % 60))}`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 === 0 ? `${hours} h` : `${hours}:${two(minutes % 60)} h`;
}

/** A figure with a title, the values at the cursor, the plot, and its values as a table. */
export class Chart {
  #spec;
  #plot;
  #shape = '';
  #lines = [];
  #data = [[]];
  #elements;
  #onZoom;
  #inSight = true;
  /** What it has not drawn because nobody sees it. */
  #due;

  constructor(spec, onZoom) {
    this.#spec = spec;
    this.#onZoom = onZoom;
    const figure = document.createElement('figure');
    figure.className = spec.wide ? 'chart wide' : 'chart';
    figure.id = `chart-${spec.id}`;
    const caption = document.createElement('figcaption');
    const title = document.createElement('h2');
    title.textContent = spec.title;
    if (spec.unit) title.append(Object.assign(document.createElement('small'), { textContent: spec.unit }));
    const readout = Object.assign(document.createElement('p'), { className: 'readout' });
    const more = Object.assign(document.createElement('button'), {
      type: 'button',
      className: 'more quiet',
      textContent: 'Table',
    });
    more.setAttribute('aria-expanded', 'false');
    more.setAttribute('aria-label', `${spec.title} as a table`);
    caption.append(title, readout, more);
    const plot = Object.assign(document.createElement('div'), { className: 'plot', tabIndex: 0 });
    plot.setAttribute('role', 'group');
    plot.setAttribute(
      'aria-label',
      `${spec.title}: left and right arrow keys read the values, Escape shows the whole run`,
    );
    const values = Object.assign(document.createElement('div'), {
      className: 'values scroll',
      hidden: true,
      tabIndex: 0,
    });
    values.setAttribute('role', 'group');
    values.setAttribute('aria-label', `${spec.title} as a table`);
    figure.append(caption, plot, values);
    this.#elements = { figure, readout, plot, values, more };
    more.addEventListener('click', () => {
      values.hidden = !values.hidden;
      more.setAttribute('aria-expanded', String(!values.hidden));
      this.#catchUp();
      this.#fillTable();
    });
    plot.addEventListener('keydown', (event) => this.#key(event));
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inSight = isIntersecting;
      if (isIntersecting) this.#catchUp();
    }).observe(figure);
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(plot);
  }

  get element() {
    return this.#elements.figure;
  }

  get spec() {
    return this.#spec;
  }

  /** Draws what the store holds now, or when it comes into sight. `anew`: colours or axes have changed. */
  update(store, anew = false) {
    if (this.#plot && !this.#inSight && this.#elements.values.hidden) {
      this.#due = { store, anew: anew || this.#due?.anew };
      return;
    }
    this.#due = undefined;
    this.#draw(store, anew);
  }

  #catchUp() {
    if (!this.#due) return;
    const { store, anew } = this.#due;
    this.#due = undefined;
    this.#draw(store, anew);
  }

  #draw(store, anew) {
    const shown = store.shown.filter(({ curves, evaluations }) => curves.step.length + evaluations.step.length > 0);
    this.#lines = this.#spec.lines({ runs: store.runs, shown });
    const tables = this.#lines.map((line) => [line.x, ...this.#columns(line)]);
    this.#data = tables.length === 0 ? [[]] : uPlot.join(tables);
    const shape = JSON.stringify([
      view.log,
      view.byTime,
      this.#lines.map(({ label, hue, raw, min, points }) => [label, hue, !!raw, !!min, !!points]),
    ]);
    if (anew || shape !== this.#shape || !this.#plot) {
      this.#shape = shape;
      this.#build();
    } else this.#plot.setData(this.#data, !view.zoom);
    if (view.zoom) this.#plot.setScale('x', view.zoom);
    this.#read();
    if (!this.#elements.values.hidden) this.#fillTable();
  }

  #columns({ y, raw, min, max }) {
    const positive = (values) => (this.#logarithmic ? values.map((v) => (v > 0 ? v : null)) : values);
    return [y, ...(raw ? [raw] : []), ...(min ? [min, max] : [])].map(positive);
  }

  get #logarithmic() {
    return this.#spec.log === true && view.log;
  }

  #size() {
    const width = this.#elements.plot.clientWidth;
    return { width: Math.max(200, width), height: this.#spec.wide ? Math.max(220, Math.min(360, width * 0.3)) : 190 };
  }

  #build() {
    this.#plot?.destroy();
    const soft = css('--soft');
    const grid = { stroke: css('--grid'), width: 1 };
    const font = '12px system-ui, sans-serif';
    const series = [{}];
    const bands = [];
    for (const line of this.#lines) {
      const stroke = line.hue === 'wait' ? css('--wait') : color(line.hue);
      const width = 1.75;
      if (line.filled) series.push({ stroke, width: 0.5, fill: stroke, points: { show: false } });
      else if (line.marks)
        series.push({ stroke, paths: () => null, points: { show: true, size: 5, fill: stroke, width: 0 } });
      else
        series.push({
          stroke,
          width,
          dash: line.dash,
          points: line.points ? { show: true, size: 6, fill: stroke } : { show: false },
        });
      if (line.raw) series.push({ stroke: `${stroke}55`, width: 1, points: { show: false } });
      if (line.min) {
        const at = series.length;
        series.push(
          { stroke: 'transparent', width: 0, points: { show: false } },
          { stroke: 'transparent', width: 0, points: { show: false } },
        );
        bands.push({ series: [at + 1, at], fill: `${stroke}2b` });
      }
    }
    const axis = { stroke: soft, grid, ticks: { show: false }, font };
    const { format } = this.#spec;
    this.#plot = new uPlot(
      {
        ...this.#size(),
        series,
        bands,
        legend: { show: false },
        scales: {
          x: { time: false },
          y: this.#logarithmic
            ? { distr: 3 }
            : { range: (_, low, high) => rangeOf(low, high, this.#spec.id, this.#data[1]) },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 28,
            gap: 4,
            space: 64,
            incrs: view.byTime ? TIME_STEPS : STEP_STEPS,
            values: (_, ticks) => ticks.map(view.byTime ? shortTime : shortSteps),
          },
          { ...axis, size: 58, gap: 6, values: (_, ticks) => ticks.map((v) => (v === null ? '' : format(v))) },
        ],
        cursor: {
          y: false,
          sync: { key: 'lockstep', setSeries: false, scales: ['x', null] },
          drag: { x: true, y: false, setScale: false },
          points: { size: 6 },
        },
        hooks: {
          setCursor: [() => this.#read()],
          setSelect: [(plot) => this.#select(plot)],
        },
        padding: [10, 18, 0, 0],
      },
      this.#data,
      this.#elements.plot,
    );
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [min, max] = [plot.posToVal(left, 'x'), plot.posToVal(left + width, 'x')];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.#onZoom({ min, max });
  }

  #key(event) {
    const plot = this.#plot;
    const move = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[event.key];
    if (event.key === 'Escape') this.#onZoom(undefined);
    if (!move || !plot) return;
    event.preventDefault();
    const xs = plot.data[0];
    const at = Math.min(xs.length - 1, Math.max(0, (plot.cursor.idx ?? xs.length - 1) + move));
    plot.setCursor({ left: plot.valToPos(xs[at], 'x'), top: 10 });
    this.#read();
    const spoken = [...this.#elements.readout.children].map(({ textContent }) => textContent).join(', ');
    document.getElementById('spoken').textContent = `${this.#spec.title}: ${spoken}`;
  }

  /** The values at the cursor, or the last ones. */
  #read() {
    const plot = this.#plot;
    if (!plot) return;
    const xs = plot.data[0];
    const idx = plot.cursor.idx ?? null;
    const at = idx ?? xs.length - 1;
    const { format } = this.#spec;
    const parts = [];
    let place = 1;
    for (const line of this.#lines) {
      const values = plot.data[place];
      place += this.#columns(line).length;
      if (line.marks) {
        parts.push([line, '']);
        continue;
      }
      let i = at;
      while (i >= 0 && values[i] == null) i--;
      const own = line.own ? line.own[Math.min(i, line.own.length - 1)] : values[i];
      parts.push([line, i < 0 ? '–' : format(own)]);
    }
    if (this.#lines[0]?.filled) parts.reverse();
    const shown = parts.slice(0, 8).map(([line, text]) => {
      const item = document.createElement('span');
      const swatch = Object.assign(document.createElement('i'), {
        className: `swatch ${line.filled || line.marks ? 'block ' : line.dash ? 'dashed ' : ''}${line.hue === 'wait' ? 'wait' : `c${line.hue % 8}`}`,
      });
      const label = Object.assign(document.createElement('span'), {
        className: 'label',
        textContent: shortened(line.label),
        title: line.label,
      });
      item.append(swatch, label, ' ', Object.assign(document.createElement('b'), { textContent: text }));
      return item;
    });
    if (idx !== null && xs[at] !== undefined)
      shown.unshift(
        Object.assign(document.createElement('span'), {
          textContent: view.byTime ? duration(xs[at]) : `step ${whole(xs[at])}`,
        }),
      );
    this.#elements.readout.replaceChildren(...shown);
  }

  /** The curves as numbers, before smoothing: of each at most 200, the last always among them. A row may be the mean of several steps. */
  #fillTable() {
    const [xs] = this.#data;
    const counts = this.#countsByX();
    const table = document.createElement('table');
    table.createCaption().textContent = `${this.#spec.title}${this.#spec.unit ? `, ${this.#spec.unit}` : ''}`;
    const head = table.createTHead().insertRow();
    const first = view.byTime ? 'seconds' : 'step';
    for (const text of [first, ...(counts ? ['mean of steps'] : []), ...this.#lines.map(({ label }) => label)]) {
      head.append(
        Object.assign(document.createElement('th'), { scope: 'col', textContent: text, className: 'number' }),
      );
    }
    const body = table.createTBody();
    const columns = this.#lines.map((line, i) => {
      const place = 1 + this.#lines.slice(0, i).reduce((sum, before) => sum + this.#columns(before).length, 0);
      const own = line.measured && new Map(line.x.map((x, at) => [x, line.measured[at]]));
      return Array.from(xs, (x, at) => (own ? own.get(x) : line.own ? line.own[at] : this.#data[place][at]));
    });
    for (const at of [...new Set(columns.flatMap(someOf))].sort((a, b) => a - b)) {
      const cells = [xs[at], ...(counts ? [counts.get(xs[at])] : []), ...columns.map((values) => values[at])];
      const row = body.insertRow();
      for (const value of cells)
        Object.assign(row.insertCell(), { className: 'number', textContent: value == null ? '' : String(value) });
    }
    this.#elements.values.replaceChildren(table);
  }

  /** How many steps each place of the axis stands for; undefined where it is one everywhere. */
  #countsByX() {
    const line = this.#lines.find(({ count }) => count?.some((n) => n > 1));
    return line && new Map(line.x.map((x, i) => [x, line.count[i]]));
  }

  destroy() {
    this.#plot?.destroy();
    this.#elements.figure.remove();
  }
}

/** Places of a line's values, thinned to 200 by its own number of them: one with few values, as of evaluations, keeps them among many others. */
function someOf(values) {
  const places = values.flatMap((value, at) => (value == null ? [] : [at]));
  const every = Math.max(1, Math.ceil(places.length / 200));
  return places.filter((_, i) => (places.length - 1 - i) % every === 0);
}

/** Some air above and below; what cannot be negative begins at nothing. */
function rangeOf(low, high, id, first = []) {
  if (low === null || high === null) return [0, 1];
  if (id === 'phases') return [0, Math.min(high * 1.08, 2 * usual(first)) || 1];
  if (id === 'rate' || id === 'sync') return [0, high * 1.15 || 1];
  const room = (high - low || Math.abs(high) || 1) * 0.07;
  const bottom = low >= 0 && low - room < 0 ? 0 : low - room;
  return [bottom, high + room];
}

/** What hardly a step takes longer than: the first ones, which compile and warm up, would make all others flat. */
function usual(values) {
  const sorted = values.filter((v) => v != null).sort((a, b) => a - b);
  return sorted.length < 20 ? Number.POSITIVE_INFINITY : sorted[Math.floor(0.98 * sorted.length)];
}
