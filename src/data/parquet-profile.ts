import { openParquet } from './parquet-file.ts';
import { emptyFile } from './table-collector.ts';
import { ColumnCounter, type TableProfile } from './table-profile.ts';

/**
 * Reads a Parquet file once and describes its columns by the rules by which `parquet` will read them. Columns that hold no single
 * values (lists, structs) count as empty.
 *
 * @throws E_DATA_FORMAT, E_DATA_EMPTY, E_DATA_MISSING as `parquet`.
 */
export async function profileParquet(file: string, signal?: AbortSignal): Promise<TableProfile> {
  const opened = await openParquet(file);
  const counters = opened.columns.map(({ name, type }) => new ColumnCounter(name, type));
  const places = opened.columns.flatMap(({ type }, i) => (type === undefined ? [] : [i]));
  const names = places.map((i) => opened.columns[i].name);
  for await (const group of opened.groups(names, signal)) {
    for (let r = 0; r < group.rows; r++) {
      for (const [k, cell] of group.cells(r).entries()) {
        const none = cell === undefined || Number.isNaN(cell);
        counters[places[k]].add(none ? undefined : String(cell));
      }
    }
  }
  if (opened.rows === 0) throw emptyFile(file, 'a file without rows');
  return { rows: opened.rows, columns: counters.map((counter) => counter.finish()) };
}
