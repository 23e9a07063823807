import { LockstepError } from '../errors.ts';
import { AbortedError } from './barrier.ts';
import { DECIDED_LIMIT } from './control.ts';
import { threadCpuSeconds } from './cpu-time.ts';
import { importCustomCode } from './custom-code.ts';
import { evaluateSplit, writeEvaluated } from './evaluate.ts';
import { countTensors } from './histogram.ts';
import { initialize } from './initialize.ts';
import { inspectShards } from './inspect.ts';
import { proveShard, serveRounds } from './serve.ts';
import type { Session, WorkerAnswer, WorkerReport, WorkerTask } from './session.ts';
import { copySnapshot } from './snapshot.ts';
import { step } from './step.ts';
import { WorkerState } from './worker-state.ts';

interface OpenSession {
  readonly worker: WorkerState;
  readonly cpuAtOpen: number;
}

/** The session of this thread: it keeps its memory views and bound programs from task to task. */
let current: OpenSession | undefined;

/** Thread entry: one task in, one answer out; errors are answers too, so that they keep their code. */
export default async function run(task: WorkerTask): Promise<WorkerAnswer> {
  let rank = -1;
  try {
    if (task.kind === 'open') {
      const opened = await open(task.session);
      rank = opened.worker.rank;
      opened.worker.barrier.wait(); // one thread each: nobody may take a second 'open'
      if (task.committed === 0) initialize(opened.worker);
      else opened.worker.resumeAfter(task.committed);
      opened.worker.barrier.wait();
      return { report: report(opened) };
    }
    const opened = current;
    if (opened?.worker.session.id !== task.session) {
      throw new RangeError(`worker: session ${task.session} is not open here`);
    }
    rank = opened.worker.rank;
    const { worker } = opened;
    switch (task.kind) {
      case 'snapshot':
      case 'restore':
        copySnapshot(worker.session, rank, task.staging, task.kind === 'snapshot' ? 'out' : 'in');
        worker.barrier.wait(); // a thread that is done early must not take another's part
        return { report: report(opened) };
      case 'evaluate':
        evaluateSplit(worker, task.split);
        return { report: report(opened) };
      case 'serve':
        serveRounds(worker);
        return { report: report(opened) };
      case 'prove': {
        const proof = rank === 0 ? proveShard(worker) : undefined;
        worker.barrier.wait(); // a thread that is done early must not take another's part
        return { report: proof === undefined ? report(opened) : { ...report(opened), proof } };
      }
      case 'count': {
        const counts = countTensors(worker, task.step);
        worker.barrier.wait(); // a thread that is done early must not take another's part
        return { report: { ...report(opened), counts } };
      }
      case 'inspect': {
        const bad = inspectShards(worker, task.step);
        worker.barrier.wait(); // a thread that is done early must not take another's part
        return { report: bad ? { ...report(opened), bad } : report(opened) };
      }
      case 'train': {
        worker.optimizer.followRateChanges(task.rateChanges);
        const stopped = trainSteps(worker, task.from);
        writeEvaluated(worker); // whoever reads the parameters next wants these
        return { report: stopped ? { ...report(opened), stopped } : report(opened) };
      }
    }
  } catch (error) {
    return { failure: describe(error, rank) };
  }
}

/** Steps `from`, `from` + 1 ... up to the limit that rank 0 publishes. */
function trainSteps(worker: WorkerState, from: number): WorkerReport['stopped'] {
  for (let t = from; t <= Atomics.load(worker.control, DECIDED_LIMIT); t++) {
    const outcome = step(worker, t);
    if (outcome === 'stop') return 'nonFinite';
    if (outcome === 'off') return undefined;
  }
  return undefined;
}

async function open(session: Session): Promise<OpenSession> {
  const custom = await importCustomCode(session);
  current = { worker: new WorkerState(session, custom), cpuAtOpen: threadCpuSeconds() };
  return current;
}

function report({ worker, cpuAtOpen }: OpenSession): WorkerReport {
  return { rank: worker.rank, cpuSeconds: threadCpuSeconds() - cpuAtOpen };
}

function describe(error: unknown, rank: number) {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const coded = error instanceof LockstepError ? { code: error.code, detail: withoutCause(error) } : {};
  return { rank, aborted: error instanceof AbortedError, name, message, stack, ...coded };
}

function withoutCause({ detail: { where, expected, got, fix } }: LockstepError) {
  return { where, expected, got, fix };
}
