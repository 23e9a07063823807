import { LockstepError } from '../../src/errors.ts';

/** Where a node is to run. */
export interface HostEntry {
  /** As ssh takes it: a name of ssh_config or DNS, an address, `user@host`. */
  readonly host: string;
  /** Threads there; 'auto' = all cores. */
  readonly workers: number | 'auto';
  /** Tells entries apart in output and in the coordinator's log: the host, with a number where it comes again. */
  readonly name: string;
  /** Runs here, without ssh. */
  readonly local: boolean;
}

const LOCAL = ['localhost', '127.0.0.1', '::1'];
/** Nothing that a shell or ssh could read as anything but a name; above all no leading "-". */
const HOST = /^(?:[A-Za-z0-9_][\w.+-]{0,63}@)?(?:[A-Za-z0-9_][\w.-]{0,252}|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\])$/;
const MOST_WORKERS = 4096;

/** `host1:4,host2:8`. @throws E_OPTION. */
export function parseHosts(text: string, where = '--hosts'): HostEntry[] {
  const entries = text.split(',').map((entry) => parseEntry(entry.trim(), where));
  return named(entries);
}

/**
 * A file with a host a line: `host`, `host:4`, `host slots=4` (Open MPI's form); comments from # to the end of the line.
 *
 * @throws E_OPTION with file and line.
 */
export function parseHostsFile(text: string, file: string): HostEntry[] {
  const entries = text.split('\n').flatMap((line, i) => {
    const content = line.replace(/#.*/, '').trim();
    return content === '' ? [] : [parseEntry(content, `${file}:${i + 1}`)];
  });
  if (entries.length > 0) return named(entries);
  throw new LockstepError('E_OPTION', {
    where: file,
    expected: 'at least one host',
    got: 'none',
    fix: 'write a host a line, such as host1:4',
  });
}

function parseEntry(text: string, where: string): Omit<HostEntry, 'name'> {
  const [, name = '', colon, slots] =
    /^(\[[^\]]*\]|[^:\s]*(?:@\[[^\]]*\])?)(?::([^:\s]*)|\s+slots=(\S*))?$/.exec(text) ?? [];
  if (!HOST.test(name)) throw wrong(where, 'a host, such as host1, user@host1 or [::1]', text);
  const host = name.replace(/\[(.*)\]/, '$1');
  return { host, workers: parseWorkers(colon ?? slots, text, where), local: LOCAL.includes(host) };
}

function parseWorkers(text: string | undefined, entry: string, where: string): number | 'auto' {
  if (text === undefined || text === 'auto') return 'auto';
  if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= MOST_WORKERS) return Number(text);
  throw wrong(where, `a number of workers, 1 to ${MOST_WORKERS}, behind the colon`, entry);
}

/** The second entry of a host is `host#2`. */
function named(entries: readonly Omit<HostEntry, 'name'>[]): HostEntry[] {
  const seen = new Map<string, number>();
  return entries.map((entry) => {
    const count = (seen.get(entry.host) ?? 0) + 1;
    seen.set(entry.host, count);
    return { ...entry, name: count === 1 ? entry.host : `${entry.host}#${count}` };
  });
}

function wrong(where: string, expected: string, entry: string): LockstepError {
  const fix = 'write host:workers, separated by commas, or one a line in a file';
  return new LockstepError('E_OPTION', { where, expected, got: JSON.stringify(entry), fix });
}
