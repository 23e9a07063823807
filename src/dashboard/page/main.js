import { Chart, chartSpecs, view } from './charts.js';
import { showEvents, showFacts, showFigures, showNodes, showProgress, showRuns } from './panels.js';
import { Store } from './store.js';
import { listen } from './stream.js';
import { drawTimeline } from './timeline.js';

const byId = (id) => document.getElementById(id);
const store = new Store();
let charts = [];
let over = false;
/** The connection has broken; the browser tries again. */
let away = false;
let due = false;

/** Only a change: whatever is set anew is read out anew. */
function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Draws at most once a frame, whatever has come. */
function redraw({ anew = false, facts = false } = {}) {
  redraw.anew ||= anew;
  redraw.facts ||= facts;
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    paint(redraw.anew, redraw.facts);
    redraw.anew = redraw.facts = false;
  });
}

function paint(anew, facts) {
  const specs = chartSpecs(store);
  const shape = (list) => list.map(({ id }) => id).join();
  if (shape(specs) !== shape(charts.map(({ spec }) => spec))) {
    for (const chart of charts) chart.destroy();
    charts = specs.map((spec) => new Chart(spec, zoom));
    byId('charts').replaceChildren(...charts.map(({ element }) => element));
  }
  for (const chart of charts) chart.update(store, anew);
  showFigures(store);
  showProgress(store);
  showEvents(store);
  showState();
  byId('unzoom').hidden = !view.zoom;
  if (!facts) return;
  const groups = [...new Set(store.runs.map(({ group }) => group))];
  showRuns(
    store,
    ({ group }) => groups.indexOf(group),
    () => redraw({ anew: true }),
  );
  showFacts(store);
  showNodes(store.nodes);
  drawTimeline(byId('workers'), store.timeline);
}

function showState() {
  const { controls, runs } = store;
  const [run] = runs;
  const several = runs.length > 1;
  const ofRun = (controls && !over && controls.state !== 'waiting' ? controls.state : run?.state) ?? 'waiting';
  const goes = ['running', 'paused', 'pausing', 'stopping'].includes(ofRun);
  const state = goes && over ? 'lost' : goes && away ? 'away' : ofRun;
  const damaged = runs.reduce((sum, { damagedLines }) => sum + damagedLines, 0);
  say(byId('title'), several ? store.title : (run?.name ?? store.title));
  byId('title').title = byId('title').textContent;
  document.title = several || !run ? store.title : `${run.name}, ${state}`;
  byId('state').hidden = several && !controls;
  byId('state').dataset.state = state;
  say(byId('state'), { lost: 'not connected', away: 'reconnecting' }[state] ?? state);
  byId('buttons').hidden = !controls || over || state === 'ended' || state === 'failed';
  if (controls) {
    for (const name of ['pause', 'checkpoint', 'stop']) byId(name).hidden = !controls.actions.includes(name);
    const resumes = state === 'paused' || state === 'pausing';
    const still = away || state === 'stopping';
    say(byId('pause'), resumes ? 'Resume' : 'Pause');
    byId('pause').disabled = still;
    byId('checkpoint').disabled = !controls.canSave || controls.saving || still;
    byId('checkpoint').title = controls.canSave ? '' : 'The run has no folder to save into (--run-dir)';
    say(byId('checkpoint'), controls.saving ? 'Saving' : 'Checkpoint');
    byId('stop').disabled = still;
  }
  const notice = byId('notice');
  const lines =
    damaged === 0
      ? ''
      : `${damaged} ${damaged === 1 ? 'line' : 'lines'} of metrics.jsonl could not be read and ${damaged === 1 ? 'was' : 'were'} passed over. `;
  if (notice.dataset.fixed) return;
  say(
    notice,
    over && !several
      ? `${lines}The page is no longer fed: the run is over or its process has ended. lockstep dashboard RUN_DIR opens it again.`
      : lines,
  );
  notice.hidden = notice.textContent === '';
}

function tell(text) {
  const notice = byId('notice');
  notice.textContent = text;
  notice.hidden = false;
  notice.dataset.fixed = 'yes';
  setTimeout(() => {
    delete notice.dataset.fixed;
    redraw();
  }, 6000);
}

/** All charts show the same stretch, with finer curves where the server has them. */
async function zoom(range) {
  view.zoom = range;
  for (const run of store.runs) run.detail = undefined;
  redraw({ anew: range === undefined });
  if (!range) return;
  await Promise.all(
    store.shown.map(async (run) => {
      const [from, to] = stepsOf(run, range);
      const answer = await fetch(`/curves?run=${run.id}&from=${from}&to=${to}&points=${Math.ceil(innerWidth)}`).catch(
        () => undefined,
      );
      if (!answer?.ok || view.zoom !== range) return; // what is here already must do
      const { step, count, mean, min = {}, max = {} } = await answer.json();
      if (view.zoom === range) run.detail = { step, count, mean, min, max };
    }),
  );
  redraw();
}

/** A stretch of the horizontal axis in steps of a run. */
function stepsOf(run, { min, max }) {
  if (!view.byTime) return [Math.floor(min), Math.ceil(max)];
  const { step, mean } = run.curves;
  const at = (seconds) =>
    step[
      Math.max(
        0,
        mean.seconds.findIndex((s) => s >= seconds),
      )
    ] ?? run.lastStep;
  return [at(min), mean.seconds.at(-1) <= max ? run.lastStep : at(max)];
}

async function act(action) {
  const answer = await fetch('/control', { method: 'POST', body: JSON.stringify({ action }) }).catch(() => undefined);
  if (!answer?.ok) tell(answer ? (await answer.text()).replace(/^\d+: /, '') : 'The run does not answer.');
}

const TAKE = {
  state(state) {
    over = away = false;
    store.replace(state);
    redraw({ facts: true, anew: true });
  },
  run(snapshot) {
    store.putRun(snapshot);
    redraw({ facts: true });
  },
  news(news) {
    store.apply(news);
    redraw();
  },
  controls(controls) {
    store.controls = controls;
    redraw();
  },
  nodes(nodes) {
    store.nodes = nodes;
    showNodes(nodes);
  },
  timeline(records) {
    store.timeline = records;
    drawTimeline(byId('workers'), records);
  },
  bye() {
    over = true;
    redraw({ facts: true });
  },
  lost() {
    over = true;
    redraw();
  },
  away() {
    away = true;
    redraw();
  },
  back() {
    away = false;
    redraw();
  },
};

// What scrolls is to scroll by keyboard in every browser.
for (const element of document.querySelectorAll('.scroll, .events')) element.tabIndex = 0;
byId('smoothing').addEventListener('input', (event) => {
  view.smoothing = Number(event.target.value);
  redraw();
});
byId('log').addEventListener('change', (event) => {
  view.log = event.target.checked;
  redraw({ anew: true });
});
for (const [id, byTime] of [
  ['by-step', false],
  ['by-time', true],
]) {
  byId(id).addEventListener('click', () => {
    view.byTime = byTime;
    byId('by-step').setAttribute('aria-pressed', String(!byTime));
    byId('by-time').setAttribute('aria-pressed', String(byTime));
    void zoom(undefined);
  });
}
byId('unzoom').addEventListener('click', () => void zoom(undefined));
byId('pause').addEventListener('click', () =>
  act(['paused', 'pausing'].includes(store.controls?.state) ? 'resume' : 'pause'),
);
byId('checkpoint').addEventListener('click', () => act('checkpoint'));
byId('stop').addEventListener('click', () => {
  byId('ask-text').textContent = !store.controls?.actions.includes('pause')
    ? 'Trials that are done stay in the folder: --resume goes on with the rest.'
    : store.controls.canSave
      ? 'It ends after the step in progress and is saved: lockstep train --resume auto goes on from there.'
      : 'It ends after the step in progress. It has no folder to save into, so what it has learnt is lost with the process.';
  byId('ask').showModal();
});
byId('ask').addEventListener('close', (event) => {
  if (event.target.returnValue === 'stop') void act('stop');
  event.target.returnValue = '';
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => redraw({ anew: true, facts: true }));
addEventListener('resize', () => drawTimeline(byId('workers'), store.timeline));
listen((type, data) => TAKE[type]?.(data));
