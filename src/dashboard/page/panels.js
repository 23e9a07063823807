import { bytes, duration, number, percent, rate, shortened, whole } from './format.js';

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const byId = (id) => document.getElementById(id);

/** The numbers that matter now. */
export function showFigures(store) {
  const [run] = store.runs;
  if (!run || store.runs.length > 1) return byId('figures').replaceChildren();
  const figures = [['loss', number(run.recent('loss')), '']];
  for (const name of Object.keys(run.evaluations.mean)) {
    if (name === 'seconds') continue;
    const value = run.evaluated(name);
    if (value) figures.push([name, number(value.last), value.best === value.last ? '' : `best ${number(value.best)}`]);
  }
  figures.splice(5); // there may be many metrics: the charts have all of them
  for (const [name, value] of Object.entries(run.test ?? {}).slice(0, 4)) figures.push([name, number(value), '']);
  const stepMs = run.recent('stepMs');
  if (Number.isFinite(stepMs)) {
    figures.push(['samples/s', rate((1000 * run.recent('samples')) / stepMs), '']);
    figures.push(['waiting', percent(run.recent('waitMs') / stepMs), '']);
    figures.push(['learning rate', number(run.last('lr')), '']);
  }
  byId('figures').replaceChildren(
    ...figures.map(([name, value, note]) =>
      make(
        'div',
        {},
        make('dt', { textContent: name, title: name }),
        make('dd', { textContent: value }, ...(note ? [make('small', { textContent: note })] : [])),
      ),
    ),
  );
}

export function showProgress(store) {
  const [run] = store.runs;
  const several = store.runs.length > 1;
  byId('progress').hidden = several || !run?.totalSteps;
  if (several || !run?.totalSteps) return;
  const { totalSteps, epoch, epochs, lastStep } = run;
  byId('bar').value = lastStep / totalSteps;
  const running = run.state === 'running';
  const left =
    running && lastStep > 0 ? `, ${duration(((totalSteps - lastStep) * run.recent('stepMs', 5)) / 1000)} left` : '';
  byId('where').textContent =
    `step ${whole(lastStep)} of ${whole(totalSteps)}${epochs ? `, epoch ${epoch} of ${epochs}` : ''}${left}`;
}

const EVENT_NAMES = { 'non-finite': 'not finite', lost: 'lost', note: 'note', end: 'end' };

export function showEvents(store) {
  const several = store.runs.length > 1;
  byId('events').hidden = several && store.runs.every(({ events }) => events.length === 0);
  const all = store.shown.flatMap((run) => run.events.map((event) => ({ ...event, run: run.name })));
  all.sort((a, b) => b.at.localeCompare(a.at));
  const list = byId('event-list');
  // Rebuilt when something has come only: a reader's place and selection stay.
  const shown = [all.length, all[0]?.at, all[0]?.text, several, store.shown.length].join('|');
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  if (all.length === 0) return list.replaceChildren(make('li', { className: 'empty', textContent: 'None yet' }));
  list.replaceChildren(
    ...all.slice(0, 100).map(({ event, step, at, text, run }) => {
      const when = new Date(at);
      const line = make(
        'li',
        {},
        make('span', { className: 'at', textContent: `step ${whole(step)}`, title: when.toLocaleString() }),
      );
      line.dataset.event = event;
      const what = make('span', { className: 'what', textContent: `${several ? `${shortened(run)}: ` : ''}${text}` });
      line.append(what);
      what.title = `${EVENT_NAMES[event] ?? event}, ${when.toLocaleString()}`;
      return line;
    }),
  );
}

export function showNodes(nodes) {
  byId('nodes').hidden = nodes.length === 0;
  const wired = nodes.some(({ sentBytes, receivedBytes }) => sentBytes !== undefined || receivedBytes !== undefined);
  byId('nodes').classList.toggle('whole', wired);
  const columns = ['node', 'state', 'workers', 'shards', 'heard', ...(wired ? ['sent', 'received'] : [])];
  const head = make(
    'tr',
    {},
    ...columns.map((textContent, i) => make('th', { scope: 'col', textContent, className: i > 1 ? 'number' : '' })),
  );
  const rows = nodes.flatMap((node) => {
    const { name, state, workers, shards, heartbeatAgeMs, sentBytes, receivedBytes, straggler } = node;
    const heard =
      heartbeatAgeMs === undefined
        ? '–'
        : heartbeatAgeMs < 2000
          ? 'now'
          : `${duration(Math.round(heartbeatAgeMs / 1000))} ago`;
    const cells = [workers, shards, heard, ...(wired ? [bytes(sentBytes), bytes(receivedBytes)] : [])];
    const row = make(
      'tr',
      {},
      make('th', { scope: 'row', textContent: name }),
      make('td', { textContent: state, className: state === 'lost' || state === 'silent' ? 'warn' : '' }),
      ...cells.map((value) => make('td', { className: 'number', textContent: String(value) })),
    );
    if (!straggler) return [row];
    return [row, make('tr', {}, make('td', { className: 'warn', colSpan: columns.length, textContent: straggler }))];
  });
  byId('node-table').replaceChildren(head, ...rows);
}

/** What does not change: model, job, machine. */
export function showFacts(store) {
  const { header } = store.runs[0] ?? {};
  const one = store.runs.length === 1 && header;
  byId('model').hidden = !one;
  byId('job').hidden = !one;
  if (!one) return;
  const { job, machine, kernels, versions } = header;
  const tensors = job.tensors ?? [];
  const rows = tensors.map(({ name, shape }) =>
    make(
      'tr',
      {},
      make('th', { scope: 'row', textContent: name }),
      make('td', { className: 'number', textContent: shape.join(' × ') }),
      make('td', { className: 'number', textContent: whole(shape.reduce((a, b) => a * b, 1)) }),
    ),
  );
  const total = make(
    'tr',
    {},
    make('th', { scope: 'row', textContent: 'all' }),
    make('td'),
    make('td', { className: 'number', textContent: whole(header.parameters) }),
  );
  const head = make(
    'tr',
    {},
    ...['parameter', 'shape', 'size'].map((textContent, i) =>
      make('th', { scope: 'col', textContent, className: i ? 'number' : '' }),
    ),
  );
  byId('model-table').replaceChildren(head, ...rows, total);
  facts('job-facts', {
    optimizer: describe(job.optimizer),
    loss: job.loss,
    'batch size': `${job.batchSize} in ${header.shards} shards`,
    rows:
      job.rows && `${whole(job.rows.train)} training, ${whole(job.rows.val)} validation, ${whole(job.rows.test)} test`,
    clip: describe(job.clip),
    'early stopping': describe(job.earlyStopping),
    seed: header.seed,
    started: new Date(header.startedAt).toLocaleString(),
  });
  facts('machine-facts', {
    workers: `${header.workers} of ${machine.cores} cores`,
    processor: machine.cpu,
    memory: bytes(machine.memoryBytes),
    kernels: [kernels.gemm, kernels.detail.split(' ').slice(0, 3).join(' '), kernels.simd].filter(Boolean).join(', '),
    software: `Lockstep ${versions.lockstep ?? ''}, Node ${versions.node ?? ''}`,
  });
}

function facts(id, values) {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  byId(id).replaceChildren(
    ...entries.flatMap(([name, value]) => [
      make('dt', { textContent: name }),
      make('dd', { textContent: String(value) }),
    ]),
  );
}

/** Plain data as a phrase: `adam, lr 0.001`. */
function describe(value) {
  if (value === null || value === undefined) return undefined;
  if (typeof value === 'number') return number(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return value.map(describe).join(', ');
  const { kind, ...rest } = value;
  const parts = Object.entries(rest).flatMap(([name, item]) => {
    const text = item === false ? undefined : describe(item);
    return text === undefined || text === ''
      ? []
      : [typeof item === 'object' ? `${name} (${text})` : `${name} ${text}`];
  });
  return [...(kind ? [kind] : []), ...parts].join(', ');
}

/** Several runs: which are shown. */
export function showRuns(store, hue, onChange) {
  const section = byId('runs');
  section.hidden = store.runs.length < 2;
  const focused = document.activeElement?.dataset.run;
  const every = (text, shown) => {
    const button = make('button', { type: 'button', className: 'quiet', textContent: text });
    button.addEventListener('click', () => {
      for (const run of store.runs) run.shown = shown;
      showRuns(store, hue, onChange);
      onChange();
    });
    button.dataset.run = text;
    return button;
  };
  section.replaceChildren(
    ...(store.runs.length > 4 ? [every('Show all', true), every('Hide all', false)] : []),
    ...store.runs.map((run) => {
      const box = make('input', { type: 'checkbox', checked: run.shown });
      box.dataset.run = run.id;
      box.addEventListener('change', () => {
        store.runs.find(({ id }) => id === run.id).shown = box.checked;
        onChange();
      });
      return make(
        'label',
        {},
        box,
        make('i', { className: `swatch c${hue(run) % 8}` }),
        make('span', { className: 'run', textContent: run.name, title: run.name }),
        make('small', { textContent: run.state === 'ended' ? '' : run.state }),
      );
    }),
  );
  if (focused !== undefined) section.querySelector(`[data-run="${focused}"]`)?.focus();
}
