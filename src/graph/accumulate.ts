import { align } from './plan.ts';
import type { Call, Operand, Program, Ref, TensorEntry } from './program.ts';

/**
 * A training program that adds its gradients to what the gradients region holds, with the bits of computing them apart and
 * adding (`left + right`), provided that the GEMM in use accumulates exactly (kernels/gemm-bits.ts). A gradient that one
 * GEMM writes is accumulated by that GEMM; any other is computed into memory of its own and added.
 */
export function accumulatingProgram(program: Program, tensors: readonly TensorEntry[]): Program {
  let activationBytes = align(program.activationBytes);
  let calls = program.calls;
  for (const tensor of tensors) {
    if (tensor.sparse) continue; // lists of rows are added in the reduction
    const writers = calls.filter((call) => touches(call, tensor));
    if (writers.length === 1 && isZeroFill(writers[0])) {
      calls = calls.filter((call) => call !== writers[0]); // adding zero
      continue;
    }
    if (writers.length === 1 && writesWhole(writers[0], tensor)) {
      calls = calls.map((call) => (call === writers[0] ? withBetaOne(call) : call));
      continue;
    }
    const base = activationBytes;
    activationBytes += align(4 * tensor.size);
    const apart = (ref: Ref): Ref => ({ region: 'activations', offset: base + ref.offset - 4 * tensor.offset });
    const last = writers[writers.length - 1];
    const gradient: Ref = { region: 'gradients', offset: 4 * tensor.offset };
    const addition: Call = { kernel: 'addPartials', args: [gradient, gradient, apart(gradient), tensor.size] };
    calls = calls.flatMap((call) => {
      if (!writers.includes(call)) return [call];
      const moved = { ...call, args: call.args.map((arg) => (isGradientOf(arg, tensor) ? apart(arg) : arg)) };
      return call === last ? [moved, addition] : [moved];
    });
  }
  return { ...program, calls, activationBytes };
}

/** The shapes of the GEMMs that would accumulate: [transA, transB, m, n, k] each. */
export function accumulatedGemms(program: Program, tensors: readonly TensorEntry[]): number[][] {
  return accumulatingProgram(program, tensors)
    .calls.filter(({ kernel, args }) => kernel === 'gemm' && args[9] === 1 && isRegion(args[10], 'gradients'))
    .map(({ args }) => args.slice(0, 5).map(Number));
}

function touches(call: Call, tensor: TensorEntry): boolean {
  return call.args.some((arg) => isGradientOf(arg, tensor));
}

function isGradientOf(arg: Operand, tensor: TensorEntry): arg is Ref {
  if (!isRegion(arg, 'gradients')) return false;
  const element = arg.offset / 4 - tensor.offset;
  return element >= 0 && element < tensor.size;
}

function isRegion(arg: Operand, region: Ref['region']): arg is Ref {
  return typeof arg !== 'number' && arg.region === region;
}

function isZeroFill({ kernel, args }: Call): boolean {
  return kernel === 'fill' && args[1] === 0;
}

/** A GEMM whose result is exactly this tensor, written once. */
function writesWhole({ kernel, args }: Call, tensor: TensorEntry): boolean {
  if (kernel !== 'gemm') return false;
  const [, , m, n, , a, , b, , beta, c, ldc] = args;
  const reads = [a, b].some((arg) => isGradientOf(arg, tensor));
  const start = isRegion(c, 'gradients') && c.offset === 4 * tensor.offset;
  return !reads && start && beta === 0 && ldc === n && Number(m) * Number(n) === tensor.size;
}

function withBetaOne(call: Call): Call {
  return { ...call, args: call.args.map((arg, i) => (i === 9 ? 1 : arg)) };
}
