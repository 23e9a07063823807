import { Child, type ChildEnd, type StopDeadlines } from './child.ts';
import type { HostEntry } from './hosts.ts';
import { encodeOrders, type Invocation, type Project } from './remote.ts';
import { allocatedPort, type CommandLine, type SshOptions, sshScript } from './ssh.ts';

const SCRIPT = 'cd -- "$1" || exit 127; shift; exec "$@"';

export interface NodesOptions {
  readonly project: Project;
  readonly invocation: Invocation;
  /** The job, and the options that change it. */
  readonly jobWords: readonly string[];
  readonly ssh: SshOptions;
  /** A line that a node has printed. */
  onLine(name: string, line: string): void;
  /** A node's process has ended. */
  onEnd(entry: HostEntry, end: ChildEnd, life: NodeLife): void;
}

/** What was seen of a node's process. */
export interface NodeLife {
  /** Its last line that is not empty. */
  readonly last: string;
  readonly livedMs: number;
  /** The connection to it stood. */
  readonly reached: boolean;
}

/** Where the coordinator listens. */
export interface ListeningAt {
  readonly url: string;
  readonly port: number;
}

/** The processes of a run's nodes, here and by ssh. Each ends when its standard input does: with us, whatever happens. */
export class Nodes {
  readonly #options: NodesOptions;
  /** Those that run. */
  readonly #children = new Set<Child>();

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  /** Starts the node of an entry. It dials the coordinator, elsewhere through a tunnel of its own to our loopback. */
  start(entry: HostEntry, { url, port }: ListeningAt, token: string | undefined): void {
    const order = (to: string) => child.tell(encodeOrders({ url: to, token }));
    const started = performance.now();
    let last = '';
    let tunnel: number | undefined;
    const child = new Child(this.#command(entry, port), {
      cwd: this.#options.project.folder,
      onLine: (line, stream) => {
        if (!entry.local && stream === 'stderr' && tunnel === undefined) {
          tunnel = allocatedPort(line);
          if (tunnel !== undefined) {
            order(`ws://127.0.0.1:${tunnel}`);
            return;
          }
        }
        if (line.trim() !== '') last = line;
        this.#options.onLine(entry.name, line);
      },
    });
    if (entry.local) order(url);
    this.#children.add(child);
    void child.ended.then((end) => {
      this.#children.delete(child);
      const livedMs = performance.now() - started;
      this.#options.onEnd(entry, end, { last, livedMs, reached: entry.local || tunnel !== undefined });
    });
  }

  /** Ends all of them; resolves when they are gone. */
  async stop(deadlines: StopDeadlines): Promise<void> {
    await Promise.all([...this.#children].map((child) => child.stop(deadlines)));
  }

  #command(entry: HostEntry, port: number): CommandLine {
    const { project, invocation, jobWords, ssh } = this.#options;
    const words = ['node', '-', ...jobWords, '--workers', String(entry.workers), '--name', entry.name];
    if (!entry.local)
      return sshScript(entry.host, ssh, SCRIPT, [project.remoteFolder, ...invocation.there, ...words], port);
    const [program, ...args] = [...invocation.here, ...words];
    return { program, args };
  }
}
