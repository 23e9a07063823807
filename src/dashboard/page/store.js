/** What the page knows of the runs, in bounded memory. */

/** Points of a run before neighbours are merged. */
const MOST_POINTS = 4000;

const emptyCurves = () => ({ step: [], count: [], mean: {}, min: {}, max: {} });

/** Curves as the server sends them, completed: least and greatest are those of the mean where groups hold one step. */
function complete(data) {
  const { step, count, mean, min = {}, max = {} } = data;
  return { step, count, mean, min, max };
}

/** Adds groups of later steps; what the store has already is passed over. */
function append(into, data) {
  const { step, count, mean, min, max } = complete(data);
  const last = into.step.at(-1) ?? -1;
  const from = step.findIndex((s) => s > last);
  if (from < 0) return;
  const before = into.step.length;
  into.step.push(...step.slice(from));
  into.count.push(...count.slice(from));
  for (const name of Object.keys(mean)) {
    const values = mean[name];
    into.mean[name] ??= new Array(before).fill(null);
    into.mean[name].push(...values.slice(from));
    if (!min[name] && !into.min[name]) continue;
    into.min[name] ??= into.mean[name].slice(0, before);
    into.max[name] ??= into.mean[name].slice(0, before);
    into.min[name].push(...(min[name] ?? values).slice(from));
    into.max[name].push(...(max[name] ?? values).slice(from));
  }
  if (into.step.length > MOST_POINTS) merge(into);
}

const least = (a, b) => (a === null ? b : b === null ? a : Math.min(a, b));
const greatest = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));

/**
 * About half as many points, each of at least so many steps as their number asks for: those that hold more stay as they are, so that
 * the beginning of a run keeps its points however long the page is open. No peak is lost where least and greatest are kept.
 */
function merge(curves) {
  const { count } = curves;
  const wanted = (2 * count.reduce((a, b) => a + b, 0)) / MOST_POINTS;
  /** Where each new point begins among the old ones, and where the last one ends. */
  const starts = [0];
  let steps = 0;
  for (let i = 0; i < count.length; i++) {
    steps += count[i];
    const full = steps >= wanted || (i + 1 < count.length && steps + count[i + 1] > 2 * wanted);
    if (!full && i + 1 < count.length) continue;
    starts.push(i + 1);
    steps = 0;
  }
  const groups = (values, of) =>
    starts.slice(1).map((end, i) => {
      let merged = values[starts[i]];
      let weight = count[starts[i]];
      for (let at = starts[i] + 1; at < end; at++) {
        merged = of(merged, values[at], weight, count[at]);
        weight += count[at];
      }
      return merged;
    });
  const mean = (a, b, m, n) => (a === null ? b : b === null ? a : (a * m + b * n) / (m + n));
  for (const name of Object.keys(curves.mean)) {
    if (curves.min[name] || ['loss', 'gradNorm'].includes(name)) {
      curves.min[name] = groups(curves.min[name] ?? curves.mean[name], least);
      curves.max[name] = groups(curves.max[name] ?? curves.mean[name], greatest);
    }
    curves.mean[name] = groups(curves.mean[name], mean);
  }
  curves.step = groups(curves.step, (_, b) => b);
  curves.count = groups(count, (a, b) => a + b);
}

class Run {
  constructor(snapshot) {
    Object.assign(this, snapshot);
    this.curves = emptyCurves();
    this.evaluations = emptyCurves();
    append(this.curves, snapshot.curves);
    append(this.evaluations, snapshot.evaluations);
    this.events = [...snapshot.events];
    this.shown = !snapshot.hidden;
    /** Finer curves of the stretch that is zoomed into. */
    this.detail = undefined;
  }

  apply(news) {
    if (news.curves) append(this.curves, news.curves);
    if (news.epoch) this.epoch = news.epoch;
    if (news.evaluations) append(this.evaluations, news.evaluations);
    if (news.test) this.test = news.test;
    for (const event of news.events ?? []) {
      this.events.push(event);
    }
    if (news.state) this.state = news.state;
    if (news.damagedLines) this.damagedLines = news.damagedLines;
    if (this.events.length > 500) this.events.splice(0, this.events.length - 500);
  }

  get lastStep() {
    return this.curves.step.at(-1) ?? 0;
  }

  /** Mean over the last points of about `seconds` of training, of a short run over its last tenth. */
  recent(name, seconds = 2) {
    const { mean, count } = this.curves;
    const time = mean.seconds ?? [];
    const end = time.at(-1) ?? 0;
    let [sum, weight] = [0, 0];
    for (
      let i = time.length - 1;
      i >= 0 && ((time[i] > end - seconds && 10 * weight < this.lastStep) || weight === 0);
      i--
    ) {
      if (mean[name]?.[i] == null) continue;
      sum += mean[name][i] * count[i];
      weight += count[i];
    }
    return weight > 0 ? sum / weight : Number.NaN;
  }

  last(name) {
    return this.curves.mean[name]?.at(-1);
  }

  /** Best and last value of an evaluated metric ('val.loss'). */
  evaluated(name) {
    const values = (this.evaluations.mean[name] ?? []).filter((v) => v !== null);
    if (values.length === 0) return undefined;
    const lowers = (this.header?.lowerIsBetter ?? ['loss']).includes(name.replace(/^val\./, ''));
    const bests = (this.evaluations[lowers ? 'min' : 'max'][name] ?? values).filter((v) => v !== null);
    return { last: values.at(-1), best: lowers ? Math.min(...bests) : Math.max(...bests) };
  }
}

export class Store {
  runs = [];
  controls = null;
  nodes = [];
  timeline = { rows: [], leftOut: 0 };
  title = 'Lockstep';

  replace(state) {
    this.runs = this.runs.filter(({ id, name }) => state.runs.some((run) => run.id === id && run.name === name));
    for (const snapshot of state.runs) this.putRun(snapshot);
    this.runs.sort((a, b) => a.id - b.id);
    this.controls = state.controls;
    this.nodes = state.nodes;
    this.timeline = state.timeline;
    this.title = state.title;
  }

  putRun(snapshot) {
    const known = this.runs.findIndex((run) => run.id === snapshot.id);
    const run = new Run(snapshot);
    if (known < 0) this.runs.push(run);
    else {
      const before = this.runs[known];
      if (run.name === before.name && run.hidden === before.hidden) run.shown = before.shown; // as somebody wants it
      this.runs[known] = run;
    }
  }

  apply(news) {
    this.runs.find((run) => run.id === news.id)?.apply(news);
  }

  get shown() {
    return this.runs.filter((run) => run.shown);
  }
}
