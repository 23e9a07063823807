import type { Split, StreamedColumn } from './contract.ts';
import { encodeSplit, encodeTokens } from './encode.ts';
import type { RawTable, Spill, WindowColumn } from './raw.ts';
import { ScratchFile } from './scratch-file.ts';
import { planBlocks } from './stream.ts';
import type { TextPart } from './tokens.ts';
import type { Encoder } from './transforms.ts';

/** Fields of the windows of a text, with the one column of tokens that they all show. */
interface TextField {
  readonly name: string;
  readonly part: TextPart;
  readonly column: WindowColumn;
}

/** Whether a table is a text on disk. */
export function isSpilledText(raw: RawTable): boolean {
  return [...raw.columns.values()].every(({ kind }) => kind === 'windows');
}

/**
 * The rows of a part of a text whose tokens lie on disk: in memory if they take no more than half of what the source allows, else its
 * tokens, once, in a file, where rows overlap as they do in memory.
 */
export function encodeSpilledText(raw: RawTable, spill: Spill, encoder: Encoder, split: string): Split {
  const fields = encoder.fields.map((field) => textField(raw, encoder, field.name));
  const [{ part, column }] = fields;
  const { length, stride } = column;
  const tokens = (raw.size - 1) * stride + length;
  if (4 * tokens * fields.length <= spill.memory / 2)
    return { kind: 'table', size: raw.size, columns: encodeSplit(raw, undefined, encoder, split) };

  const begin = Math.min(...fields.map((field) => field.column.from));
  const end = Math.max(...fields.map((field) => field.column.from)) + tokens;
  const file = new ScratchFile();
  const place = file.allocate(4 * (end - begin));
  const run = new Int32Array(Math.max(1024, Math.floor(spill.memory / 32)));
  for (let at = begin; at < end; at += run.length) {
    const ids = run.subarray(0, Math.min(run.length, end - at));
    encodeTokens(part, column, at, ids);
    file.write(ids, place + 4 * (at - begin));
  }
  const columns = encoder.fields.map((field, i): StreamedColumn => {
    const offset = place + 4 * (fields[i].column.from - begin);
    return { ...field, elements: 'i32', offset, scale: 1, shift: 0, ...(stride !== length && { stride }) };
  });
  const gap = Math.max(0, Math.ceil((length - stride) / stride));
  const blocks = planBlocks(spill.memory / 4 / (4 * stride * fields.length), gap);
  return { kind: 'streamed', size: raw.size, columns, file, blocks, memory: spill.memory };
}

function textField(raw: RawTable, encoder: Encoder, name: string): TextField {
  const [part] = encoder.parts(name);
  const column = raw.columns.get(part.column);
  if (part.kind !== 'text' || column?.kind !== 'windows') throw new TypeError('a text among other columns');
  return { name, part, column };
}
