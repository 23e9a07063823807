import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import { checkpointName } from '../src/checkpoint/store.ts';
import { closest, LockstepError } from '../src/errors.ts';
import { MOST_LOCAL_STEPS } from '../src/parallel/inner-steps.ts';
import { WIRE_FORMATS, type WireFormat } from '../src/parallel/wire-format.ts';
import { identityOf } from '../src/train/identity.ts';
import type { Job } from '../src/train/job.ts';
import { type LocalSteps, outerDefaults } from '../src/train/local-steps.ts';
import type { OpenRun } from '../src/train/open-run.ts';
import type { TrainResult } from '../src/train/options.ts';
import { planRun } from '../src/train/plan-run.ts';
import { type OnOpen, trainPlan } from '../src/train/train.ts';
import { Coordinator } from './coordinator.ts';
import type { CoordinatorSetup } from './coordinator-setup.ts';
import { factsOf, sentenceOf } from './event-text.ts';
import type { ClusterEvent } from './events.ts';
import { openFenceLog } from './fence-log.ts';
import { listen } from './listener.ts';
import { type CoordinatorOptions, DEADLINES, DEFAULT_PORT } from './options.ts';
import { checkToken } from './security.ts';
import { describeRows } from './stream-data.ts';

/**
 * Trains a job on nodes that dial in: the run of `train`, but that nodes compute the gradients. The result is, to the byte, that of
 * `train` on one machine, whoever joins, leaves or dies meanwhile.
 *
 * @param onOpen see `trainPlan`; before nodes can dial.
 * @throws what `train` throws; E_LISTEN; E_QUORUM when too few nodes take part for too long, after saving.
 */
export async function runCoordinator<J extends Job>(
  job: J,
  options: CoordinatorOptions = {},
  onOpen?: OnOpen,
): Promise<TrainResult> {
  const {
    host = '127.0.0.1',
    port = DEFAULT_PORT,
    tls,
    insecure,
    localSocket,
    limits,
    signal,
    runDir,
    minNodes = 1,
    startNodes = minNodes,
    mixed = false,
    streamData = false,
    wire = 'fp32',
  } = options;
  const token = checkToken(options.token, host);
  const ending = new AbortController();
  let failure: LockstepError | undefined;
  const used: CoordinatorOptions = {
    ...options,
    signal: AbortSignal.any([ending.signal, ...(signal ? [signal] : [])]),
  };
  const localSteps = localStepsOf(options);
  const exchange = { wire: formatOf(wire), ...(localSteps && { localSteps }) };
  const plan = await planRun(job, used, undefined, 'coordinator', exchange);
  const result = await trainPlan(plan, used, async (run, journal) => {
    const tell = (event: ClusterEvent) => {
      options.onEvent?.(event);
      const text = sentenceOf(event);
      if (text !== undefined) journal.note(text, event.kind === 'left' && event.lost ? 'lost' : 'note', factsOf(event));
    };
    const { session, proof = '' } = run;
    const attendance = await onOpen?.(run, journal);
    const saved = savedStates(run);
    const identity = identityOf(plan, proof);
    const log = runDir === undefined ? undefined : openFenceLog(runDir);
    const coordinator = new Coordinator({
      session,
      identity,
      fence: log?.fence ?? Date.now(),
      run: runDir ?? randomUUID(),
      saves: runDir !== undefined,
      token,
      minNodes,
      startNodes: Math.max(startNodes, saved?.states.length ?? 0),
      ...(saved && { saved }),
      mixed,
      ...(streamData && { description: describeRows(plan.data, identity.data) }),
      advise: wire === 'auto',
      deadlines: { ...DEADLINES, ...options.deadlines },
      limit: log?.limit ?? Number.POSITIVE_INFINITY,
      onEvent: tell,
      onNodes: options.onNodes,
      onPart: options.onPart,
      onRound: options.onRound,
      onEnd(error) {
        failure = error;
        ending.abort();
      },
    });
    const listener = await listen({
      host,
      port,
      ...(tls && { tls }),
      ...(insecure !== undefined && { insecure }),
      ...(localSocket !== undefined && { localSocket }),
      ...(token !== undefined && { token }),
      ...(limits && { limits }),
      maxPayload: Coordinator.maxPayload(session),
      memory: coordinator.memory,
      onConnection: (arrival) => coordinator.receive(arrival),
      onRefused: (address, reason) => tell({ kind: 'refused', name: '', address, reason }),
    });
    let stopped = false;
    const onStop = () => {
      if (stopped) return;
      stopped = true;
      if (failure === undefined) log?.lower(coordinator.step);
      coordinator.stop();
    };
    if (signal?.aborted) onStop();
    else signal?.addEventListener('abort', onStop);
    // The button does what Ctrl-C does: a step that nobody can compute is not waited for.
    const { controls } = options;
    const offControls = controls?.onChange(() => controls.wanted.stop && onStop());
    options.onListening?.(listener);
    options.onEvent?.({ kind: 'listening', url: listener.url });
    const close = async (result?: TrainResult) => {
      signal?.removeEventListener('abort', onStop);
      offControls?.();
      await coordinator.close(stopped ? 'the run was stopped' : 'the run is over', failure !== undefined);
      await listener.close();
      // The wish is fulfilled: who resumes the run wants it to go on.
      if (result?.stopped === 'aborted' && failure === undefined && isSaved(result)) log?.end(result.step);
      log?.close();
      await attendance?.close?.(result);
    };
    return { close, ...(coordinator.kept && { nodes: coordinator.kept }) };
  });
  if (failure) throw failure;
  return result;
}

/** What nodes kept in the run that this one goes on from; of another wire format it is none. */
function savedStates({ session, start }: OpenRun): CoordinatorSetup['saved'] {
  if (!start || start.warm) return undefined;
  const { step, nodes, manifest } = start.checkpoint;
  const { lost = 0, wire } = manifest.nodes ?? {};
  const states = nodes?.states.filter(({ bytes }) => bytes.length === session.keptBytes) ?? [];
  if (wire === (session.wire ?? 'fp32')) return { step, states, lost };
  return { step, states: [], lost: lost + (nodes?.states.length ?? 0) };
}

/** @throws E_OPTION for a number that none of them can be, or settings of an outer optimizer where there is none. */
function localStepsOf(options: CoordinatorOptions): LocalSteps | undefined {
  const { wire = 'fp32', syncEvery = 1, syncWarmup, outerLr, outerMomentum, gradientNoiseEvery } = options;
  const warmup = syncWarmup ?? 0;
  const usual = outerDefaults(wire);
  const [lr, momentum] = [outerLr ?? usual.lr, outerMomentum ?? usual.momentum];
  const whole = Number.isInteger(syncEvery) && syncEvery >= 1 && syncEvery <= MOST_LOCAL_STEPS;
  if (!whole) throw badOption('syncEvery', `a whole number from 1 to ${MOST_LOCAL_STEPS}`, syncEvery);
  if (!(Number.isInteger(warmup) && warmup >= 0 && warmup <= MOST_LOCAL_STEPS)) {
    throw badOption('syncWarmup', `a whole number from 0 to ${MOST_LOCAL_STEPS}`, warmup);
  }
  if (!(lr > 0 && Number.isFinite(lr))) throw badOption('outerLr', 'a number above 0', lr);
  if (!(momentum >= 0 && momentum < 1)) throw badOption('outerMomentum', 'a number from 0 to below 1', momentum);
  if (syncEvery > 1 && gradientNoiseEvery !== undefined) {
    throw badOption(
      'gradientNoiseEvery',
      'none with syncEvery above 1: nodes do not send gradients',
      gradientNoiseEvery,
    );
  }
  if (syncEvery > 1) return { pace: { every: syncEvery, warmup }, lr, momentum };
  const [name, value] =
    Object.entries({ syncWarmup, outerLr, outerMomentum }).find(([, given]) => given !== undefined) ?? [];
  if (name !== undefined) {
    const fix = 'give syncEvery (--sync-every), too, or leave it out';
    throw badOption(name, 'none without syncEvery above 1: there are no local steps', value, fix);
  }
  return undefined;
}

function badOption(
  name: string,
  expected: string,
  got: unknown,
  fix = 'correct this option, or leave it out',
): LockstepError {
  return new LockstepError('E_OPTION', { where: `option ${name}`, expected, got: String(got), fix });
}

/** 'auto' is fp32, which is then measured: see wire-advice.ts. */
function formatOf(wire: string): WireFormat {
  const known = [...WIRE_FORMATS, 'auto'];
  const format = WIRE_FORMATS.find((name) => name === (wire === 'auto' ? 'fp32' : wire));
  if (format !== undefined) return format;
  const meant = closest(wire, known);
  throw new LockstepError('E_OPTION', {
    where: 'option wire',
    expected: known.join(', '),
    got: wire,
    fix: meant ? `did you mean ${meant}?` : 'take one of these',
  });
}

/** All that was trained is durable. */
function isSaved({ checkpoint, step }: TrainResult): boolean {
  return step === 0 || (checkpoint !== undefined && basename(checkpoint) === checkpointName(step));
}
