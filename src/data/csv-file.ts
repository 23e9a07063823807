import type { CsvSource } from './csv.ts';
import { CsvRecords } from './csv-records.ts';
import type { RawTable } from './raw.ts';
import { emptyFile, TableCollector } from './table-collector.ts';
import { parseNumber } from './transforms.ts';

/** Reads a CSV file in a stream into columns. Throws errors with file, line and column. */
export async function readCsv(file: string, source: CsvSource, signal: AbortSignal | undefined): Promise<RawTable> {
  const records = new CsvRecords(file, source.delimiter);
  let collector: TableCollector | undefined;
  await records.each((record) => {
    if (!collector) {
      const header = records.readHeader(record, source.header);
      const headless = source.header === true && header.every((cell) => Number.isFinite(parseNumber(cell)));
      const text = headless
        ? 'the first line looks like data: with header: false, columns are named 0, 1, 2 ...'
        : 'name a column of the file (check the delimiter)';
      collector = new TableCollector({ file, source, unit: 'line', header, hint: { text, certain: headless } });
      if (source.header === true) return;
    }
    records.checkLength(record);
    collector.record(record.cells, record.line);
  }, signal);
  if (!collector) throw emptyFile(file, 'an empty file');
  return collector.finish();
}
