import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import { purposeKey } from './gather.ts';
import { takeUpStatistics } from './running-statistics.ts';
import type { Session } from './session.ts';
import type { WorkerState } from './worker-state.ts';

/** Initial parameters and slots: each tensor by one worker, each element a function of (seed, tensor, index) only. */
export function initialize(worker: WorkerState): void {
  const { session, kernels } = worker;
  const [key0, key1] = purposeKey(session.seed, 'init');
  if (worker.rank === 0) startBuffers(session);
  session.tensors.forEach((tensor, index) => {
    if (index % session.workers !== worker.rank) return;
    const at = session.layout.parameters + 4 * tensor.offset;
    const { init, size } = tensor;
    switch (init.kind) {
      case 'constant':
        kernels.fill(at, init.value, size);
        break;
      case 'uniform':
        kernels.randomUniform(at, size, key0, key1, index, 0, 0, 0, init.low, init.high);
        break;
      case 'normal':
        kernels.randomNormal(at, size, key0, key1, index, 0, 0, 0, init.mean, init.std);
        break;
      default:
        init satisfies never;
    }
  });
  initializeSlots(worker);
}

/** The optimizer's slots as they begin, at the parameters as they are: each tensor's by the worker that initialises the tensor. */
export function initializeSlots({ session, kernels, rank }: WorkerState): void {
  session.tensors.forEach((tensor, index) => {
    if (index % session.workers !== rank) return;
    for (const slot of slotStarts(session, tensor, index)) {
      if (slot.init === 'parameter') {
        kernels.copy(slot.address, session.layout.parameters + 4 * tensor.offset, tensor.size);
      } else kernels.fill(slot.address, slot.init, slot.length);
    }
  });
}

/** Buffers begin with one number each. */
function startBuffers(session: Session): void {
  for (const { offset, size, init } of session.buffers) {
    const at = session.layout.parameters + 4 * offset;
    new Float32Array(session.memory.buffer, at, size).fill(init.kind === 'constant' ? init.value : 0);
  }
  takeUpStatistics(session, 0);
}

/** Where the slots of a tensor lie and how they begin. */
function slotStarts({ layout, slots }: Session, tensor: TensorEntry, index: number) {
  return slots.flatMap(({ offsets, inits, shapes }, slot) => {
    if (offsets[index] < 0) return [];
    const length = shapes === undefined ? tensor.size : sizeOf(shapes[tensor.name]);
    return [{ address: layout.slots[slot] + 4 * offsets[index], init: inits[index], length }];
  });
}
