import { execFileSync } from 'node:child_process';

export interface Host {
  /** Of its network namespace. */
  readonly name: string;
  readonly address: string;
}

/**
 * Several hosts on this machine: network namespaces on one bridge, in a namespace of its own, each by a cable (a veth pair) that can be
 * slowed (tc tbf) and unplugged. Nothing of it touches the machine's own network.
 */
export class Networks {
  readonly hosts: readonly Host[];
  readonly #middle: string;

  private constructor(count: number) {
    const id = `ls${process.pid}`;
    this.#middle = `${id}m`;
    this.hosts = Array.from({ length: count }, (_, i) => ({ name: `${id}h${i}`, address: `10.77.0.${i + 1}` }));
    try {
      ip('netns', 'add', this.#middle);
      ip('-n', this.#middle, 'link', 'add', 'bridge', 'type', 'bridge');
      ip('-n', this.#middle, 'link', 'set', 'bridge', 'up');
      for (const { name, address } of this.hosts) {
        ip('netns', 'add', name);
        ip('-n', this.#middle, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'cable', 'netns', name);
        ip('-n', this.#middle, 'link', 'set', name, 'master', 'bridge', 'up');
        ip('-n', name, 'address', 'add', `${address}/24`, 'dev', 'cable');
        for (const link of ['cable', 'lo']) ip('-n', name, 'link', 'set', link, 'up');
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Undefined where this user may not make networks, or the machine cannot. */
  static open(count: number): Networks | undefined {
    try {
      return new Networks(count);
    } catch {
      return undefined;
    }
  }

  /** The words before a command that is to run on a host. */
  inside(host: string): string[] {
    return ['ip', 'netns', 'exec', host];
  }

  /** Limits what a host sends. */
  limit(host: string, rate: string): void {
    execFileSync('tc', ['-n', host, 'qdisc', 'add', 'dev', 'cable', 'root', 'tbf', 'rate', rate, 'burst', '32kbit', 'latency', '400ms']); // biome-ignore format: a command
  }

  unplug(host: string): void {
    ip('-n', this.#middle, 'link', 'set', host, 'down');
  }

  plug(host: string): void {
    ip('-n', this.#middle, 'link', 'set', host, 'up');
  }

  close(): void {
    for (const name of [...this.hosts.map((host) => host.name), this.#middle]) {
      try {
        ip('netns', 'delete', name);
      } catch {
        // it was never made
      }
    }
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: 'pipe' });
}
