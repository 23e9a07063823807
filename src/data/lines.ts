import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { LockstepError } from '../errors.ts';
import { readError } from './files.ts';

/** A longer line is no line: without a limit a file without line breaks would fill the memory. */
const MOST_LINE = 64 * 1024 * 1024;

/** Calls `take` with each line of a text file (gzipped or not, told by its first bytes) and its number from 1. */
export async function readLines(
  file: string,
  take: (text: string, line: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const source = createReadStream(file, { signal });
    const input = (await isGzip(file)) ? source.pipe(createGunzip()) : source;
    source.on('error', (error) => input.destroy(error));
    let [line, rest] = [0, ''];
    input.setEncoding('utf8');
    for await (const chunk of input) {
      const lines = (rest + String(chunk)).split(/\r\n|\n/);
      rest = lines.pop() ?? '';
      for (const text of lines) take(text, ++line);
      if (rest.length > MOST_LINE) {
        throw new LockstepError('E_DATA_FORMAT', {
          where: `${file} line ${line + 1}`,
          expected: `a line of at most ${MOST_LINE} characters`,
          got: 'a longer one',
          fix: 'check that it is the right file',
        });
      }
    }
    if (rest !== '') take(rest, line + 1);
  } catch (error) {
    throw readError(error, file);
  }
}

/** Whether a file begins as gzip does. */
export async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b;
  } finally {
    await handle.close();
  }
}
