import type { OptimizerDef, SparseOptimizerKernelName } from './contract.ts';

/** How an optimizer updates the rows that a sparse gradient names. */
export interface SparseForm {
  /** Absent: by the definition's `sparseUpdate`. */
  readonly kernel?: SparseOptimizerKernelName;
  /** It trains as the dense form does. */
  readonly isDense: boolean;
}

/** The sparse form of an optimizer with these options; undefined where it has none. */
export function sparseForm(def: OptimizerDef, options: object): SparseForm | undefined {
  const { unit, measure, transform, after, evalParameters, drive, sparseIsDense: isDense = false } = def;
  // What reads or writes every element has no meaning on some rows.
  if (unit !== 'element' || measure || transform || after || evalParameters || drive) return undefined;
  if (def.sparseUpdate === undefined) return undefined;
  if (def.sparseKernel === undefined) return { isDense };
  const kernel = def.sparseKernel(options);
  return kernel && { kernel, isDense };
}
