/** What a person may ask of a run, and what has been asked so far. */
export type Request = 'pause' | 'resume' | 'checkpoint' | 'stop';

/** Where the run stands: 'pausing' and 'stopping' end with the step in progress. */
export type RunState = 'waiting' | 'running' | 'pausing' | 'paused' | 'stopping' | 'ended';

/**
 * The buttons of a run: `const controls = new Controls(); train(job, { controls })`, then from anywhere `controls.pause()`. A request reaches
 * the workers as a published decision: rank 0 reads the control words between two barriers, and all leave after the same step. So the
 * result is that of an undisturbed run. One object is good for one run.
 */
export class Controls {
  #state: RunState = 'waiting';
  #paused = false;
  #stop = false;
  #checkpoint = false;
  #canSave = false;
  #pausesAfter = Number.POSITIVE_INFINITY;
  readonly #listeners = new Set<() => void>();

  get state(): RunState {
    if (this.#state === 'ended' || this.#state === 'waiting') return this.#state;
    if (this.#stop) return 'stopping';
    return this.#state === 'running' && this.#paused ? 'pausing' : this.#state;
  }

  /** Whether `checkpoint` does something: the run has a folder. */
  get canSave(): boolean {
    return this.#canSave;
  }

  /** A checkpoint has been asked for and is not taken yet. */
  get saving(): boolean {
    return this.#checkpoint;
  }

  /** After the step in progress the workers wait, until `resume` or `stop`. */
  pause(): void {
    this.#ask('pause');
  }

  /** After step `step` the workers wait, as by `pause`: exactly then, unless they are further already. Replaces what was said before. */
  pauseAfter(step: number): void {
    if (this.#state === 'ended') return;
    this.#pausesAfter = step;
    this.#changed();
  }

  resume(): void {
    this.#ask('resume');
  }

  /** After the step in progress the state is saved; without a run folder nothing happens. */
  checkpoint(): void {
    this.#ask('checkpoint');
  }

  /** After the step in progress the run ends, as by Ctrl-C: saved, and to be resumed. */
  stop(): void {
    this.#ask('stop');
  }

  /** Calls `listener` on every change of state or request; gives a function that ends this. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #ask(request: Request): void {
    if (this.#state === 'ended') return;
    const { pause, stop, checkpoint } = this.wanted;
    if (request === 'pause') this.#paused = true;
    else if (request === 'resume') this.#paused = false;
    else if (request === 'stop') this.#stop = true;
    else if (this.#canSave) this.#checkpoint = true;
    if (pause !== this.#paused || stop !== this.#stop || checkpoint !== this.#checkpoint) this.#changed();
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** The trainer's side: what has been asked for and is still to be done. */
  get wanted(): { readonly pause: boolean; readonly checkpoint: boolean; readonly stop: boolean } {
    return { pause: this.#paused, checkpoint: this.#checkpoint, stop: this.#stop };
  }

  /** The trainer's side: the step after which the workers are to wait; Infinity: none. */
  get pausesAfter(): number {
    return this.#pausesAfter;
  }

  /** The trainer's side: the run stands between two segments after this step. */
  reached(step: number): void {
    if (step < this.#pausesAfter) return;
    this.#pausesAfter = Number.POSITIVE_INFINITY;
    this.pause();
  }

  /** The trainer's side: the run has begun, waits, goes on, is over. */
  enter(state: 'running' | 'paused' | 'ended', canSave = this.#canSave): void {
    this.#state = state;
    this.#canSave = canSave;
    if (state === 'ended') this.#checkpoint = false;
    this.#changed();
  }

  /** The trainer's side: the checkpoint that was asked for is taken. */
  saved(): void {
    this.#checkpoint = false;
    this.#changed();
  }

  /** The trainer's side: resolves at the next change, or when the signal aborts. */
  change(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        off();
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const off = this.onChange(done);
      signal?.addEventListener('abort', done);
      if (signal?.aborted) done();
    });
  }
}
