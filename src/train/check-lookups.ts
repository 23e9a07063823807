import { type LoadedData, type Split, strideOf } from '../data/contract.ts';
import { LockstepError } from '../errors.ts';
import { topologicalOrder } from '../graph/autodiff.ts';
import type { Tensor } from '../graph/tensor.ts';

/**
 * Refuses ids that a table has no row for, before anything is trained: the kernels would take the last row without a word. What
 * a field may hold is its size, which the loader keeps; the first row that is wrong is searched for the message only.
 *
 * @throws E_LABEL that names the field, the row and the size.
 */
export function checkLookups(roots: readonly Tensor[], data: LoadedData): void {
  for (const node of topologicalOrder(roots)) {
    if (node.op !== 'gather') continue;
    const [table, indices] = node.inputs;
    const tableRows = table.shape[0];
    for (const source of topologicalOrder([indices])) {
      const field = data.fields.find(({ name }) => source.op === 'input' && source.attrs.name === name);
      if (field?.dtype !== 'i32' || field.size === undefined || field.size <= tableRows) continue;
      const miss = firstMiss(data, field.name, tableRows);
      throw new LockstepError('E_LABEL', {
        where: `${miss === undefined ? 'data' : miss.where}, field "${field.name}"`,
        expected: `ids in [0, ${tableRows}) for the table of ${node.scope === undefined ? 'gather' : `layer ${node.scope}`}`,
        got: miss === undefined ? `ids in [0, ${field.size})` : String(miss.id),
        fix: `make the table as large as the field (info.${field.name}.size is ${field.size}), or correct the row`,
      });
    }
  }
}

/** The first id of a column that is too large; undefined where rows are computed, or only declared to be so. */
function firstMiss(data: LoadedData, name: string, tableRows: number): { where: string; id: number } | undefined {
  const splits: [string, Split | undefined][] = [
    ['train', data.train],
    ['validation', data.validation],
    ['test', data.test],
  ];
  for (const [split, rows] of splits) {
    if (rows?.kind !== 'table') continue;
    const column = rows.columns.find((c) => c.name === name);
    const at = column?.data.findIndex((id) => id >= tableRows) ?? -1;
    if (column === undefined || at < 0) continue;
    const row = Math.min(rows.size - 1, Math.floor(at / strideOf(column)));
    return { where: `data.${split}, row ${rows.ids?.[row] ?? row}`, id: column.data[at] };
  }
  return undefined;
}
