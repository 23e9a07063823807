import type { ShardRange } from '../membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../membership/members.ts';
import type { TreeNode } from '../parallel/gradient-tree.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import { EventQueue, Server } from './events.ts';
import { additionsOf, mergedSums, rootsOf } from './protocol.ts';

/** A network card: what leaves a machine waits for what left before, what comes for what came. */
export interface Link {
  readonly latencyMs: number;
  readonly bytesPerMs: number;
}

/** What a job costs, from measured phases. */
export interface JobCosts {
  /** Rows and shards of a step. */
  readonly batch: number;
  readonly shards: number;
  /** Workers of the node on which the following was measured. */
  readonly workers: number;
  /** Bytes of a partial sum, and of what comes back, in each format. */
  readonly bytes: Readonly<Record<WireFormat, number>>;
  /** Gather, forward and backward of one shard on one worker of a busy node. */
  readonly shardMs: number;
  /** Adding two partial sums, on all workers of a node. */
  readonly additionMs: number;
  /** Norm, clip and update of all parameters, on all workers of a node. */
  readonly updateMs: number;
  /** Barriers and whatever else a step has on a node. */
  readonly fixedMs: number;
  /** Encoding or decoding a byte of a frame, at one end. */
  readonly msPerByte: number;
  /** Standard deviation of the logarithm of a node's computing time from step to step. */
  readonly jitter: number;
}

export interface Scenario {
  readonly nodes: number;
  /** Workers of each node. */
  readonly workers: number;
  readonly link: Link;
  readonly format: WireFormat;
  /** Steps between two exchanges. */
  readonly syncEvery: number;
  /** `tree`: groups of about the square root of the nodes, each with one that collects for the others. */
  readonly topology: 'star' | 'tree';
  /** Exchanges to simulate. */
  readonly rounds: number;
  /** All nodes are processes of one machine with so many cores; absent: machines of their own. */
  readonly sharedCores?: number;
  /** Nodes that take so many times as long. */
  readonly stragglers?: { readonly count: number; readonly factor: number };
  /** Nodes that are lost, or join, in the middle of that exchange. */
  readonly changes?: readonly Change[];
  readonly seed?: number;
}

export interface Change {
  readonly round: number;
  readonly lose?: number;
  readonly join?: number;
}

export interface Simulated {
  /** Rows a second over all exchanges but the first. */
  readonly samplesPerSec: number;
  /** Of single exchanges: a tenth is below the first, a tenth above the second. */
  readonly band: readonly [number, number];
  /** Milliseconds of an exchange in the coordinator's view, on average; together they are the exchange. */
  readonly phases: { readonly compute: number; readonly up: number; readonly update: number; readonly down: number };
  /** Shards of each node at the end, in the order of the members, and shards that were computed again because their node was lost. */
  readonly shardsAtEnd: readonly number[];
  readonly repeatedShards: number;
}

/** How long until the loss of a node is noticed: its connection is closed. */
const NOTICE_MS = 1;

/**
 * A discrete-event simulation of the synchronous step. Node 0 runs on the coordinator's machine, the others reach it over their cards; all
 * compute their shards, send their partial sums, and wait for the parameters. Who takes part, who computes what, what is computed again and
 * which partial sums travel is decided by the code of the trainer and the cluster themselves.
 */
export function simulate(costs: JobCosts, scenario: Scenario): Simulated {
  return new Simulation(costs, scenario).run();
}

class Simulation {
  readonly #costs: JobCosts;
  readonly #scenario: Scenario;
  readonly #queue = new EventQueue();
  readonly #random: () => number;
  /** By name: processors and cards. 'in', 'out' and 'frames' are the coordinator's card and its thread for frames. */
  readonly #servers = new Map<string, Server>();
  readonly #ends: number[] = [0];
  readonly #phases = { compute: 0, up: 0, update: 0, down: 0 };
  #membership: Membership = NOBODY;
  #nextId = 0;
  #repeated = 0;

  constructor(costs: JobCosts, scenario: Scenario) {
    const divided = costs.workers / scenario.workers; // blocks are divided among the workers of a node
    this.#costs = { ...costs, additionMs: costs.additionMs * divided, updateMs: costs.updateMs * divided };
    this.#scenario = scenario;
    this.#random = uniform(scenario.seed ?? 1);
    for (let n = 0; n < scenario.nodes; n++) this.#join();
  }

  run(): Simulated {
    const { rounds, syncEvery } = this.#scenario;
    this.#round(1, new Map());
    this.#queue.run();
    const rows = this.#costs.batch * syncEvery;
    const skip = rounds > 1 ? 1 : 0; // before the first no parameters are on their way
    const each = this.#ends.slice(1).map((end, i) => (1000 * rows) / (end - this.#ends[i]));
    const sorted = each.slice(skip).sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
    const { compute, up, update, down } = this.#phases;
    return {
      samplesPerSec: (1000 * rows * (rounds - skip)) / (this.#ends[rounds] - this.#ends[skip]),
      band: [at(0.1), at(0.9)],
      phases: { compute: compute / rounds, up: up / rounds, update: update / rounds, down: down / rounds },
      shardsAtEnd: divide(this.#membership, this.#costs.shards).ranges.map(({ count }) => count),
      repeatedShards: this.#repeated,
    };
  }

  /** One exchange; `ready`: when each node has the parameters, by id; absent: at once. */
  #round(round: number, ready: ReadonlyMap<number, number>): void {
    const { shards } = this.#costs;
    this.#membership = divide(this.#membership, shards);
    const { members, ranges } = this.#membership;
    const start = this.#ends[round - 1];
    const lost = this.#losses(round);
    const collected: Collected = { expected: 0, arrived: 0, last: start, sums: [], complete: () => undefined };
    const work = members.map(({ id }, i) => this.#computeMs(id, ranges[i].count));
    const done = members.map(({ id }, i) => (ready.get(id) ?? start) + work[i]);
    const alone = members.length === 1;

    const send = (i: number, range: ShardRange, at: number): void => {
      if (range.count === 0) return;
      this.#deliver(collected, members[i].id, this.#sumsOf(range), at, alone);
    };
    const groups =
      this.#scenario.topology === 'tree' ? groupsOf(members.length) : members.map((_, first) => ({ first, count: 1 }));
    for (const { first, count } of groups) {
      const present = Array.from({ length: count }, (_, k) => first + k).filter((i) => !lost.has(i));
      if (first === 0 || present.length < count || count === 1) for (const i of present) send(i, ranges[i], done[i]);
      else
        this.#collect(
          collected,
          present.map((i) => members[i].id),
          present.map((i) => ranges[i]),
          present.map((i) => done[i]),
        );
    }
    for (const i of lost) {
      // Half way through: the others take its shards when they are done with theirs.
      const noticed = (ready.get(members[i].id) ?? start) + work[i] / 2 + NOTICE_MS;
      done[i] = noticed;
      this.#membership = leave(this.#membership, members[i].id);
      this.#repeated += ranges[i].count;
      const others = members.map((_, k) => k).filter((k) => !lost.has(k));
      divideAmong(
        others.map((k) => members[k]),
        ranges[i],
      ).forEach((range, k) => {
        const other = others[k];
        done[other] = Math.max(done[other], noticed) + this.#computeMs(members[other].id, range.count);
        send(other, range, done[other]);
      });
    }
    members.forEach(({ id }, i) => {
      if (!lost.has(i)) this.#membership = measured(this.#membership, id, ranges[i].count, work[i]);
    });
    collected.complete = (time) => this.#update(round, start, time, work, done, collected.sums);
  }

  /** All sums are there: the update, and the parameters on their way for the next exchange. */
  #update(
    round: number,
    start: number,
    time: number,
    work: readonly number[],
    done: readonly number[],
    sums: readonly TreeNode[],
  ): void {
    const { additionMs, updateMs, shards } = this.#costs;
    const { rounds, changes = [] } = this.#scenario;
    const ordered = [...sums].sort((a, b) => a.first - b.first);
    const additions = this.#oneSum ? ordered.length - 1 : additionsOf(ordered, shards);
    const updated = time + additions * additionMs + updateMs;
    for (const change of changes) if (change.round === round) for (let n = 0; n < (change.join ?? 0); n++) this.#join();
    const ready = this.#sendParameters(updated);
    const slowest = Math.max(...done);
    const longest = Math.max(...work);
    this.#phases.down += slowest - start - longest; // what was on its way delayed this one
    this.#phases.compute += longest;
    this.#phases.up += time - slowest;
    this.#phases.update += updated - time;
    this.#ends[round] = updated;
    if (round < rounds) this.#queue.at(updated, () => this.#round(round + 1, ready));
  }

  /** Parameters to all members: when each has them. */
  #sendParameters(at: number): Map<number, number> {
    const { format, topology, link } = this.#scenario;
    const { members } = this.#membership;
    const size = this.#costs.bytes[format];
    const ready = new Map<number, number>();
    if (members.length === 1) return ready.set(members[0].id, at);
    const hand = (id: number, from: string, when: number): number => {
      const framed = this.#server(from === 'out' ? 'frames' : `cpu ${from}`).take(when, size * this.#costs.msPerByte);
      const there =
        id === 0
          ? framed
          : this.#server(from === 'out' ? 'out' : `out ${from}`).take(framed, size / link.bytesPerMs) + link.latencyMs;
      const has = this.#server(`cpu ${id}`).take(there, size * this.#costs.msPerByte);
      ready.set(id, has);
      return has;
    };
    for (const { first, count } of topology === 'tree'
      ? groupsOf(members.length)
      : [{ first: 0, count: members.length }]) {
      const [leader, ...rest] = members.slice(first, first + count).map(({ id }) => id);
      const has = hand(leader, 'out', at);
      const own = first === 0;
      for (const id of rest) hand(id, own ? 'out' : String(leader), own ? at : has);
    }
    return ready;
  }

  /** A node sends partial sums to the coordinator. */
  #deliver(to: Collected, id: number, sums: readonly TreeNode[], at: number, alone: boolean): void {
    const { msPerByte, bytes } = this.#costs;
    const { format, link } = this.#scenario;
    to.expected += 1;
    to.sums.push(...sums);
    const size = sums.length * bytes[format];
    const arrive = (time: number): void => {
      to.last = Math.max(to.last, time);
      to.arrived += 1;
      if (to.arrived === to.expected) this.#queue.at(to.last, () => to.complete(to.last));
    };
    this.#queue.at(at, () => {
      if (alone) return arrive(at);
      const framed = this.#server(`cpu ${id}`).take(at, size * msPerByte);
      if (id === 0) return arrive(this.#server('frames').take(framed, size * msPerByte));
      const gone = this.#server(`out ${id}`).take(framed, size / link.bytesPerMs);
      this.#queue.at(gone, () => {
        const there = this.#through('in', gone + link.latencyMs, size);
        arrive(this.#server('frames').take(there, size * msPerByte));
      });
    });
  }

  /** The first of a group adds what it can of the sums of the others, and sends the rest on. */
  #collect(to: Collected, ids: readonly number[], ranges: readonly ShardRange[], done: readonly number[]): void {
    const { msPerByte, bytes, additionMs, shards } = this.#costs;
    const { format, link } = this.#scenario;
    const [leader] = ids;
    let complete = done[0];
    let sums: TreeNode[] = [...this.#sumsOf(ranges[0])];
    for (let k = 1; k < ids.length; k++) {
      if (ranges[k].count === 0) continue;
      const own = this.#sumsOf(ranges[k]);
      const size = own.length * bytes[format];
      const framed = this.#server(`cpu ${ids[k]}`).take(done[k], size * msPerByte);
      const gone = this.#server(`out ${ids[k]}`).take(framed, size / link.bytesPerMs);
      const there = this.#through(`in ${leader}`, gone + link.latencyMs, size);
      complete = Math.max(
        complete,
        this.#server(`cpu ${leader}`).take(there, size * msPerByte) + own.length * additionMs,
      );
      sums.push(...own);
    }
    const count = ranges.reduce((sum, range) => sum + range.count, 0);
    if (count === 0) return;
    if (!this.#oneSum) sums = [...mergedSums(sums, shards, { first: ranges[0].first, count })];
    else sums = sums.slice(0, 1);
    this.#deliver(to, leader, sums, complete, false);
  }

  /** Bytes that come in when the sender has sent them, unless others fill the card. */
  #through(card: string, earliest: number, size: number): number {
    const server = this.#server(card);
    server.free = Math.max(earliest, server.free + size / this.#scenario.link.bytesPerMs);
    return server.free;
  }

  /** Lossy formats send one sum a node, and local steps leave one change of the parameters, whatever the shards. */
  get #oneSum(): boolean {
    return this.#scenario.syncEvery > 1 || this.#scenario.format !== 'fp32';
  }

  #sumsOf(range: ShardRange): readonly TreeNode[] {
    return this.#oneSum ? [range] : rootsOf(range, this.#costs.shards);
  }

  /** So many shards on the workers of a node, for the steps until the next exchange. */
  #computeMs(id: number, count: number): number {
    if (count === 0) return 0;
    const { shardMs, fixedMs, updateMs, jitter } = this.#costs;
    const { workers, syncEvery, stragglers, nodes, sharedCores } = this.#scenario;
    const slow = stragglers && id > 0 && id <= stragglers.count ? stragglers.factor : 1;
    const crowd = sharedCores === undefined ? 1 : Math.max(1, (nodes * workers) / sharedCores);
    let ms = 0;
    for (let i = 0; i < syncEvery; i++) {
      const noise = jitter === 0 ? 1 : Math.exp(jitter * this.#normal());
      ms += Math.ceil(count / workers) * shardMs * noise * slow * crowd + fixedMs;
    }
    return ms + (syncEvery - 1) * updateMs;
  }

  /** Places of the members that are lost in this exchange: never the first. */
  #losses(round: number): ReadonlySet<number> {
    const lost = new Set<number>();
    const { length } = this.#membership.members;
    for (const { round: at, lose = 0 } of this.#scenario.changes ?? []) {
      const count = at === round ? Math.min(lose, length - 1) : 0;
      while (lost.size < count) lost.add(1 + Math.floor(this.#random() * (length - 1)));
    }
    return lost;
  }

  #join(): void {
    this.#membership = join(this.#membership, { id: this.#nextId++, workers: this.#scenario.workers });
  }

  #server(name: string): Server {
    let server = this.#servers.get(name);
    if (server === undefined) {
      server = new Server();
      this.#servers.set(name, server);
    }
    return server;
  }

  /** Box-Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
  }
}

/** What has come of an exchange. */
interface Collected {
  expected: number;
  arrived: number;
  last: number;
  readonly sums: TreeNode[];
  complete: (time: number) => void;
}

/** Neighbouring nodes in groups of about the square root of their number. */
export function groupsOf(nodes: number): { readonly first: number; readonly count: number }[] {
  const size = Math.max(1, Math.round(Math.sqrt(nodes)));
  const groups = [];
  for (let first = 0; first < nodes; first += size) groups.push({ first, count: Math.min(size, nodes - first) });
  return groups;
}

/** Uniform numbers in [0, 1), repeatable (mulberry32). */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}
