import type { StoreFs } from '../../src/checkpoint/store-fs.ts';

interface MemoryFile {
  readonly kind: 'file';
  data: Uint8Array;
  durable: Uint8Array;
}
interface MemoryFolder {
  readonly kind: 'folder';
  entries: Map<string, MemoryNode>;
  /** What is on disk, and the changes since, which reach it in order. */
  durable: Map<string, MemoryNode>;
  log: ((entries: Map<string, MemoryNode>) => void)[];
}
type MemoryNode = MemoryFile | MemoryFolder;

export function errno(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/**
 * A file system whose memory tells what is durable from what is not: content by `sync`, names by `syncFolder`. `before` is
 * called ahead of every system call and may throw; `shorten` limits a write.
 */
export class MemoryFs implements StoreFs {
  calls = 0;
  before: (call: number, name: string) => void = () => {};
  shorten: (length: number) => number = (length) => length;
  readonly #root: MemoryFolder;
  readonly #open = new Map<number, { file: MemoryFile; at: number }>();
  #next = 3;

  constructor(root: MemoryFolder = folder()) {
    this.#root = root;
  }

  makeFolder(path: string): void {
    this.#call('makeFolder');
    let at = this.#root;
    for (const name of parts(path)) {
      const there = at.entries.get(name);
      if (there?.kind === 'file') throw errno('ENOTDIR');
      const next = there ?? folder();
      if (!there) change(at, (entries) => entries.set(name, next));
      at = next;
    }
  }

  list(path: string): string[] {
    this.#call('list');
    return [...this.#folder(path).entries.keys()];
  }

  stat(path: string): { kind: 'file' | 'folder'; bytes: number } | undefined {
    this.#call('stat');
    const node = this.#find(path);
    return node && { kind: node.kind, bytes: node.kind === 'file' ? node.data.length : 0 };
  }

  open(path: string, mode: 'write' | 'read'): number {
    this.#call('open');
    const [parent, name] = this.#parent(path);
    let node = parent.entries.get(name);
    if (mode === 'write') {
      if (node) throw errno('EEXIST');
      const created: MemoryFile = { kind: 'file', data: new Uint8Array(), durable: new Uint8Array() };
      change(parent, (entries) => entries.set(name, created));
      node = created;
    }
    if (node?.kind !== 'file') throw errno('ENOENT');
    this.#open.set(this.#next, { file: node, at: 0 });
    return this.#next++;
  }

  write(file: number, bytes: Uint8Array, offset: number, length: number): number {
    this.#call('write');
    const open = this.#opened(file);
    const written = Math.max(1, Math.min(length, this.shorten(length)));
    const data = new Uint8Array(open.file.data.length + written);
    data.set(open.file.data);
    data.set(bytes.subarray(offset, offset + written), open.file.data.length);
    open.file.data = data;
    return written;
  }

  read(file: number, bytes: Uint8Array, offset: number, length: number): number {
    this.#call('read');
    const open = this.#opened(file);
    const piece = open.file.data.subarray(open.at, open.at + length);
    bytes.set(piece, offset);
    open.at += piece.length;
    return piece.length;
  }

  sync(file: number): void {
    this.#call('sync');
    const open = this.#opened(file);
    open.file.durable = open.file.data;
  }

  close(file: number): void {
    this.#open.delete(file);
    this.#call('close');
  }

  syncFolder(path: string): void {
    this.#call('syncFolder');
    const at = this.#folder(path);
    at.durable = new Map(at.entries);
    at.log = [];
  }

  rename(from: string, to: string): void {
    this.#call('rename');
    const [parent, name] = this.#parent(from);
    const [target, newName] = this.#parent(to);
    if (parent !== target) throw new Error('the model knows renames within one folder only');
    const node = parent.entries.get(name);
    if (!node) throw errno('ENOENT');
    const there = parent.entries.get(newName);
    if (there?.kind === 'folder' && there.entries.size > 0) throw errno('ENOTEMPTY');
    change(parent, (entries) => {
      entries.delete(name);
      entries.set(newName, node);
    });
  }

  remove(path: string): void {
    this.#call('remove');
    const node = this.#find(path);
    if (!node) return;
    if (node.kind === 'folder') for (const name of [...node.entries.keys()]) this.remove(`${path}/${name}`);
    const [parent, name] = this.#parent(path);
    change(parent, (entries) => entries.delete(name));
  }

  /** Names anywhere, for assertions. */
  paths(node: MemoryFolder = this.#root, prefix = ''): string[] {
    return [...node.entries].flatMap(([name, child]) =>
      child.kind === 'file' ? [`${prefix}${name}`] : [`${prefix}${name}/`, ...this.paths(child, `${prefix}${name}/`)],
    );
  }

  /** Changes a file behind everybody's back. */
  damage(path: string, change: (data: Uint8Array) => Uint8Array): void {
    const node = this.#find(path);
    if (node?.kind !== 'file') throw errno('ENOENT');
    node.data = change(node.data.slice());
  }

  /** What the disk may hold after the power failed: `random(n)` is an integer in [0, n]. */
  afterPowerLoss(random: (n: number) => number): MemoryFs {
    const survive = (node: MemoryNode): MemoryNode => {
      if (node.kind === 'file') {
        // Content that was not synced may be there in part, and zeros for the rest.
        const data = node.durable === node.data ? node.data.slice() : new Uint8Array(random(node.data.length));
        if (node.durable !== node.data) data.set(node.data.subarray(0, random(data.length)));
        return { kind: 'file', data, durable: data };
      }
      const entries = new Map(node.durable);
      for (const op of node.log.slice(0, random(node.log.length))) op(entries);
      const survivors = new Map([...entries].map(([name, child]) => [name, survive(child)]));
      return { kind: 'folder', entries: survivors, durable: new Map(survivors), log: [] };
    };
    const root = survive(this.#root);
    return new MemoryFs(root.kind === 'folder' ? root : undefined);
  }

  #call(name: string): void {
    this.calls += 1;
    this.before(this.calls, name);
  }

  #opened(file: number): { file: MemoryFile; at: number } {
    const open = this.#open.get(file);
    if (!open) throw errno('EBADF');
    return open;
  }

  #find(path: string): MemoryNode | undefined {
    let at: MemoryNode | undefined = this.#root;
    for (const name of parts(path)) at = at?.kind === 'folder' ? at.entries.get(name) : undefined;
    return at;
  }

  #folder(path: string): MemoryFolder {
    const node = this.#find(path);
    if (node?.kind !== 'folder') throw errno(node ? 'ENOTDIR' : 'ENOENT');
    return node;
  }

  #parent(path: string): [MemoryFolder, string] {
    const names = parts(path);
    return [this.#folder(names.slice(0, -1).join('/')), names[names.length - 1]];
  }
}

function folder(): MemoryFolder {
  return { kind: 'folder', entries: new Map(), durable: new Map(), log: [] };
}

function change(at: MemoryFolder, op: (entries: Map<string, MemoryNode>) => void): void {
  op(at.entries);
  at.log.push(op);
}

function parts(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
