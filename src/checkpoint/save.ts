import { LockstepError } from '../errors.ts';
import { parameterTensors, slotTensors } from './flat.ts';
import { type ManifestFacts, tensorTable } from './manifest.ts';
import { nodeTensors, type SavedNodes } from './node-states.ts';
import { type RetentionPolicy, retain } from './retention.ts';
import { safetensorsParts } from './safetensors.ts';
import { deleteCheckpoint, type FileContent, listCheckpoints, readManifest, writeCheckpoint } from './store.ts';
import { isErrno, type StoreFs } from './store-fs.ts';

/** One save: plain data and views, so it travels to a thread. Views of shared memory are not copied on the way. */
export interface SaveRequest {
  readonly runDir: string;
  readonly facts: ManifestFacts;
  /** The flat parameters to predict with, padded as the tensor table says. Must not change until the save has ended. */
  readonly parameters: Float32Array;
  /** Likewise, those that training goes on with, where they are others (averages of weights, Schedule-Free). */
  readonly trained?: Float32Array;
  /** Likewise, in the order of `facts.optimizer.slots`. */
  readonly slots: readonly Float32Array[];
  /** Likewise, as `facts.nodes` says. */
  readonly nodes?: SavedNodes;
  /** What to delete afterwards. Default: nothing. */
  readonly retention?: RetentionPolicy;
}

/** How a save ended: data, for a run goes on without it. */
export type SaveOutcome =
  | {
      readonly ok: true;
      readonly step: number;
      readonly path: string;
      readonly bytes: number;
      readonly seconds: number;
      /** Steps of the checkpoints that the policy gave up. */
      readonly deleted: readonly number[];
      /** Why an old checkpoint could not be deleted. */
      readonly problem?: string;
    }
  | { readonly ok: false; readonly step: number; readonly seconds: number; readonly reason: SaveFailure };

export interface SaveFailure {
  readonly kind: 'full' | 'read-only' | 'io' | 'other';
  /** One line for a warning. */
  readonly message: string;
}

/** Writes a checkpoint and applies the retention policy. Never throws; after a failure the checkpoints before are as they were. */
export function saveCheckpoint(fs: StoreFs, request: SaveRequest): SaveOutcome {
  const { runDir, facts } = request;
  const started = performance.now();
  const seconds = () => (performance.now() - started) / 1000;
  try {
    const written = writeCheckpoint(fs, runDir, facts, contents(request));
    const { deleted, problem } = applyRetention(fs, runDir, facts.step, request.retention ?? {});
    return { ok: true, ...written, seconds: seconds(), deleted, ...(problem === undefined ? {} : { problem }) };
  } catch (error) {
    return { ok: false, step: facts.step, seconds: seconds(), reason: explain(error) };
  }
}

function contents({ facts, parameters, trained, slots, nodes }: SaveRequest): FileContent[] {
  const { entries } = tensorTable(facts);
  const files: FileContent[] = [
    { name: 'parameters.safetensors', parts: safetensorsParts(parameterTensors(entries, parameters)) },
  ];
  if (trained) {
    files.push({ name: 'trained.safetensors', parts: safetensorsParts(parameterTensors(entries, trained)) });
  }
  if (slots.length > 0) {
    const tensors = slotTensors(entries, facts.optimizer.slots, slots);
    files.push({ name: 'optimizer.safetensors', parts: safetensorsParts(tensors) });
  }
  const ofNodes = nodes ? nodeTensors(nodes) : [];
  if (ofNodes.length > 0) files.push({ name: 'nodes.safetensors', parts: safetensorsParts(ofNodes) });
  return files;
}

/** Deletes what the policy does not keep. A checkpoint whose manifest cannot be read has no metric. */
function applyRetention(
  fs: StoreFs,
  runDir: string,
  latest: number,
  policy: RetentionPolicy,
): { deleted: number[]; problem?: string } {
  const deleted: number[] = [];
  if (policy.keepLast === undefined && policy.keepBest === undefined) return { deleted };
  try {
    const candidates = listCheckpoints(fs, runDir).map(({ step, path }) => ({
      step,
      metric: policy.keepBest && metricOf(fs, path, policy.keepBest.monitor),
    }));
    for (const decision of retain(candidates, latest, policy)) {
      if (!('delete' in decision)) continue;
      deleteCheckpoint(fs, runDir, decision.delete);
      deleted.push(decision.delete);
    }
    return { deleted };
  } catch (error) {
    return { deleted, problem: error instanceof Error ? error.message : String(error) };
  }
}

function metricOf(fs: StoreFs, path: string, monitor: string): number | undefined {
  try {
    const { metrics } = readManifest(fs, path);
    return Object.hasOwn(metrics, monitor) ? metrics[monitor] : undefined;
  } catch (error) {
    if (error instanceof LockstepError) return undefined;
    throw error;
  }
}

function explain(error: unknown): SaveFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (isErrno(error, 'ENOSPC', 'EDQUOT', 'EFBIG')) return { kind: 'full', message };
  if (isErrno(error, 'EROFS', 'EACCES', 'EPERM')) return { kind: 'read-only', message };
  return { kind: isErrno(error, 'EIO', 'ENXIO', 'ESTALE') ? 'io' : 'other', message };
}
