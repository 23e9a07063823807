import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** Gives a file this content at once, by a rename: whoever reads it meanwhile sees the old or the new. The same content is left alone. */
export function replaceFile(path, content) {
  if (held(path)?.equals(Buffer.from(content))) return;
  mkdirSync(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

function held(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
