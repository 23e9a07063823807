import { hostname } from 'node:os';
import { LockstepError } from '../errors.ts';
import type { RunHeader, Sink, SinkRecord } from '../record/contract.ts';
import { MetricsFile } from '../record/metrics-file.ts';
import type { Controls, Request } from '../train/controls.ts';
import type { NodeStatus, TimedStep, ViewFacts } from './contract.ts';
import { Hub } from './hub.ts';
import { localNode } from './local-node.ts';
import { RunView } from './run-view.ts';
import { StepTimeline } from './step-timeline.ts';

/** How often pages are told what is new. */
const TICK_MS = 250;
/** Ticks between two looks at the nodes. */
const NODE_TICKS = 4;
/** Points of a curve that a page begins with. */
const POINTS = 1000;

/** What the page shows: runs, the nodes and workers of the one that is trained here, and its buttons. */
export class Board {
  readonly hub: Hub;
  readonly title: string;
  readonly #runs: RunView[] = [];
  readonly #timer: NodeJS.Timeout;
  #controls: Controls | undefined;
  #actions: readonly Request[] = [];
  #offControls: (() => void) | undefined;
  #nodes: readonly NodeStatus[] | undefined;
  #shownNodes = '';
  /** The run that is trained here. */
  #trained: RunView | undefined;
  readonly #timeline = new StepTimeline();
  #timelineIsNew = false;
  #heardAt: number | undefined;
  #ticks = 0;

  /** @param id tells this process from others. @param title of the page. */
  constructor(id: string, title: string) {
    this.title = title;
    this.hub = new Hub(id, () => this.#state());
    this.#timer = setInterval(() => this.flush(), TICK_MS);
    this.#timer.unref();
  }

  get runs(): readonly RunView[] {
    return this.#runs;
  }

  /** The run that is trained here, or was last, or the first. */
  get run(): RunView | undefined {
    return this.#trained ?? this.#runs[0];
  }

  /** What is told of by numbers: the run that is trained here, or was last; without one, all that are shown. */
  get told(): readonly RunView[] {
    return this.#trained ? [this.#trained] : this.#runs;
  }

  get nodes(): readonly NodeStatus[] {
    return this.#currentNodes();
  }

  addRun(facts: ViewFacts): RunView {
    const run = new RunView(this.#runs.length, facts);
    this.#runs.push(run);
    this.hub.send('run', run.snapshot(POINTS));
    return run;
  }

  /** Says anew what there is to know of a run: it has begun, or its facts have changed. */
  announce(run: RunView): void {
    run.news(); // it is in what follows
    this.hub.send('run', run.snapshot(POINTS));
  }

  /** A sink that shows a run. `before` is the run folder whose records it goes on with, where it does. */
  sink(name: string, before?: string): Sink {
    const run = this.addRun({ name, totalSteps: 0, metrics: [] });
    return {
      name: 'dashboard',
      open: async (header: RunHeader) => {
        this.#trained = run;
        this.#timeline.clear();
        this.#heardAt = undefined;
        if (before !== undefined && header.resumedAfter !== undefined) await takeUp(run, before);
        run.header(header);
        this.announce(run);
      },
      write: (records: readonly SinkRecord[]) => {
        this.#heardAt = performance.now();
        run.add(records);
      },
      timeline: (steps) => this.addSteps(steps),
      close: () => undefined,
    };
  }

  /** The buttons act on a run through these; `actions` are those that there are. */
  control(controls: Controls, actions: readonly Request[] = ['pause', 'resume', 'checkpoint', 'stop']): void {
    this.#offControls?.();
    this.#controls = controls;
    this.#actions = actions;
    this.#offControls = controls.onChange(() => this.hub.send('controls', this.#controlState()));
  }

  get controls(): Controls | undefined {
    return this.#controls;
  }

  get actions(): readonly Request[] {
    return this.#actions;
  }

  /** How the nodes are, from whoever runs them. Without it the table has the one node of this process. */
  setNodes(nodes: readonly NodeStatus[]): void {
    this.#nodes = nodes;
  }

  /** What workers and nodes did in steps that are over. */
  addSteps(steps: readonly TimedStep[]): void {
    if (steps.length === 0) return;
    this.#timeline.add(steps);
    this.#timelineIsNew = true;
  }

  /** Tells the pages what is new. */
  flush(): void {
    const watched = this.hub.size > 0;
    for (const run of this.#runs) {
      if (run.quiet) continue;
      if (run.begun && watched) {
        this.announce(run);
        continue;
      }
      const news = run.news();
      if (!news) continue;
      if (watched) this.hub.send('news', news);
      else this.hub.skip();
    }
    if (!watched) return;
    this.#ticks += 1;
    if (this.#timelineIsNew && this.#ticks % 2 === 0) {
      this.#timelineIsNew = false;
      this.hub.sendNow('timeline', this.#timeline.view());
    }
    if (this.#ticks % NODE_TICKS !== 0) return;
    const nodes = this.#currentNodes();
    const shown = JSON.stringify(nodes);
    if (shown === this.#shownNodes) return;
    this.#shownNodes = shown;
    this.hub.sendNow('nodes', nodes);
  }

  /** Ends the ticking and tells the pages that nothing more will come. */
  close(): void {
    clearInterval(this.#timer);
    this.flush();
    this.#offControls?.();
    this.hub.end('bye');
  }

  #currentNodes(): readonly NodeStatus[] {
    if (this.#nodes) return this.#nodes;
    const header = this.run?.runHeader;
    if (!header || !this.#controls) return [];
    const age = this.#heardAt === undefined ? undefined : performance.now() - this.#heardAt;
    return [localNode(hostname(), header, this.#timeline.own, age)];
  }

  #controlState() {
    const controls = this.#controls;
    if (!controls) return null;
    return { state: controls.state, canSave: controls.canSave, saving: controls.saving, actions: this.#actions };
  }

  #state(): string {
    this.flush(); // what follows holds all of it
    return JSON.stringify({
      title: this.title,
      runs: this.#runs.map((run) => run.snapshot(POINTS)),
      controls: this.#controlState(),
      nodes: this.#currentNodes(),
      timeline: this.#timeline.view(),
    });
  }
}

/** What a run has recorded before it was resumed, as far as it can be read; its totals are those of other processes. */
async function takeUp(run: RunView, folder: string): Promise<void> {
  let file: MetricsFile | undefined;
  run.quiet = true;
  try {
    file = await MetricsFile.open(folder, run);
    await file.readMore();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
  } finally {
    run.quiet = false;
    run.forgetTotals();
    await file?.close();
  }
}
