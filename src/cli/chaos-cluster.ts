import { type ChildProcess, spawn } from 'node:child_process';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import type { ClusterEvent } from '../../cluster/index.ts';
import { encodeOrders } from '../../cluster/launch/remote.ts';
import { makeToken } from '../../cluster/security.ts';
import type { ChaosCommandOptions } from './chaos.ts';
import { ownProgram } from './launch.ts';
import { jobWords } from './options.ts';

/** One of the nodes: its place in the cluster, its network, and the process that is there now. */
export interface ChaosNode {
  readonly name: string;
  readonly proxy: FaultyProxy;
  child: ChildProcess | undefined;
  /** It has taken part: before, there is nothing to disturb. */
  joined: boolean;
}

/** What was done to a run, and what came of it. */
export interface ChaosCounts {
  kills: number;
  pauses: number;
  partitions: number;
  damaged: number;
  /** Times that the coordinator lost a node. */
  losses: number;
}

/** Node processes on this machine, each behind a network of its own; where one ends before its time, another begins. */
export class ChaosCluster {
  readonly token = makeToken();
  readonly nodes: ChaosNode[] = [];
  readonly counts: ChaosCounts = { kills: 0, pauses: 0, partitions: 0, damaged: 0, losses: 0 };
  readonly #path: string;
  readonly #options: ChaosCommandOptions;
  readonly #say: (text: string) => void;
  #closed = false;
  /** Nodes that have ended by themselves with an error, one after the other, without joining. */
  #failures = 0;

  constructor(path: string, options: ChaosCommandOptions, say: (text: string) => void) {
    this.#path = path;
    this.#options = options;
    this.#say = say;
  }

  /** A coordinator listens here: the nodes are to dial it. */
  lead(port: number): void {
    void this.#lead(port);
  }

  note(event: ClusterEvent): void {
    if (event.kind === 'joined') {
      this.#failures = 0;
      for (const node of this.nodes) if (node.name === event.node.name) node.joined = true;
    }
    if (event.kind === 'left' && event.lost) this.counts.losses += 1;
    if (event.kind === 'left' && event.lost) this.#say(`${event.node.name} is lost: ${event.reason}`);
  }

  /** Ends every process and connection. */
  async close(): Promise<void> {
    this.#closed = true;
    const ended = this.nodes.map(async ({ child, proxy }) => {
      if (child && child.exitCode === null && child.signalCode === null) {
        child.kill('SIGKILL');
        await new Promise((resolve) => child.once('close', resolve));
      }
      await proxy.close();
    });
    await Promise.all(ended);
  }

  async #lead(port: number): Promise<void> {
    if (this.nodes.length > 0) {
      for (const node of this.nodes) {
        node.proxy.lead(port);
        if (!node.child) this.#start(node);
      }
      return;
    }
    for (let i = 1; i <= this.#options.nodes; i++) {
      const proxy = await FaultyProxy.start({ target: { port } });
      const node: ChaosNode = { name: `node-${i}`, proxy, child: undefined, joined: false };
      this.nodes.push(node);
      this.#start(node);
    }
  }

  #start(node: ChaosNode): void {
    if (this.#closed) return;
    const { workers = 1 } = this.#options;
    const [program, ...before] = ownProgram('').invocation.here;
    const words = [
      'node',
      '-',
      this.#path,
      ...jobWords(this.#options),
      '--name',
      node.name,
      '--workers',
      String(workers),
    ];
    const child = spawn(program, [...before, ...words], { stdio: ['pipe', 'ignore', 'pipe'] });
    node.child = child;
    node.joined = false;
    child.stdin.on('error', () => {}); // it was killed before it had read
    child.stdin.write(encodeOrders({ url: node.proxy.url, token: this.token })); // open as long as we live: it ends with it
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors = (errors + text).slice(-2000);
    });
    child.once('close', (code, signal) => {
      node.child = undefined;
      if (this.#closed || code === 0) return; // the run is over; the next `lead` starts another
      if (signal === null) {
        this.#say(`${node.name} ended with code ${code}: ${errors.trim()}`);
        if (++this.#failures >= 3 * this.#options.nodes) return; // it will not get better
      }
      this.#start(node);
    });
  }
}
