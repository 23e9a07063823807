import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(import.meta.url);

/** The version of this package. */
export function ownVersion(): string {
  return versionIn(require.resolve('lockstep/package.json')) ?? 'unknown';
}

/** The installed version of a dependency; undefined where it is not installed. Many packages export no package.json, so look. */
export function packageVersion(name: string): string | undefined {
  for (const folder of require.resolve.paths(name) ?? []) {
    const version = versionIn(join(folder, name, 'package.json'));
    if (version !== undefined) return version;
  }
  return undefined;
}

function versionIn(file: string): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version?: unknown };
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined; // not there
  }
}
