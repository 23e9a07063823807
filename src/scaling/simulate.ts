import { PIECE_BYTES } from '../../cluster/transfer.ts';
import { assignShards, type ShardRange } from '../membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../membership/members.ts';
import type { TreeNode } from '../parallel/gradient-tree.ts';
import { Card, Cores, EventQueue, Thread } from './events.ts';
import { additionsOf, mergedSums, rootsOf } from './protocol.ts';
import type { JobCosts, Scenario, Simulated, Together } from './scenario.ts';
import { uniformNumbers } from './uniform-numbers.ts';

/** How long until the loss of a node is noticed: its connection is closed. */
const NOTICE_MS = 1;
/** Many nodes, and long vectors, are simulated in larger pieces than the cluster sends. */
const [MOST_PIECES, FEW_NODES] = [64, 16];

/**
 * A discrete-event simulation of the synchronous step. Node 0 runs on the coordinator's machine, the others reach it over their cards; all
 * compute their shards, send their partial sums, and wait for the parameters. Threads share the cores of their machine. Who takes part, who
 * computes what, what is computed again and which partial sums travel is decided by the code of the trainer and the cluster themselves.
 */
export function simulate(costs: JobCosts, scenario: Scenario): Simulated {
  return new Simulation(costs, scenario).run();
}

/** A node: a process with workers, and a main thread with a socket. */
interface Node {
  readonly id: number;
  readonly cores: Cores;
  readonly main: Thread;
  readonly out: Card;
  readonly in: Card;
  /** It is going to be lost before it finishes anything, and is. */
  dying: boolean;
  lost: boolean;
  /** Runs of shards that it is to compute, one after the other. */
  readonly todo: ShardRange[];
  /** The parameters of the exchange are on their way to it, or there. */
  sent: boolean;
  ready: boolean;
  busy: boolean;
}

/** From one machine to another. */
interface Way {
  readonly out: Card;
  readonly connection: number;
  readonly into: Card;
}

/** An exchange in hand. */
interface Exchange {
  readonly round: number;
  readonly start: number;
  /** One node, without a network. */
  readonly alone: boolean;
  /** When the last node had its parameters, and was done with its shards. */
  lastReady: number;
  lastDone: number;
  /** Shards whose sums have not come. */
  missing: number;
  readonly sums: TreeNode[];
  /** Of each group with one that collects for the others: what is still to come to it. */
  readonly groups: readonly Group[];
}

interface Group {
  readonly leader: Node;
  readonly members: ReadonlySet<number>;
  /** Shards of which its leader waits for sums; then it sends what they add up to. */
  missing: number;
  readonly came: { readonly node: Node; readonly range: ShardRange }[];
}

class Simulation {
  readonly #costs: JobCosts;
  readonly #scenario: Scenario;
  readonly #queue = new EventQueue();
  readonly #random: () => number;
  readonly #nodes = new Map<number, Node>();
  /** Of the machine that has the coordinator. */
  readonly #cores: Cores;
  readonly #main: Thread;
  readonly #relay: Thread;
  readonly #out: Card;
  readonly #in: Card;
  readonly #ends: number[] = [0];
  readonly #phases = { compute: 0, up: 0, update: 0, down: 0 };
  readonly #pieceBytes: number;
  #membership: Membership = NOBODY;
  #nextId = 0;
  #repeated = 0;

  constructor(costs: JobCosts, scenario: Scenario) {
    this.#costs = costs;
    this.#scenario = scenario;
    this.#random = uniformNumbers(scenario.seed ?? 1);
    this.#cores = this.#machine();
    this.#main = new Thread(this.#cores);
    this.#relay = new Thread(this.#cores);
    const { bytesPerMs } = scenario.link;
    this.#out = new Card(this.#queue, bytesPerMs);
    this.#in = new Card(this.#queue, bytesPerMs);
    const size = costs.bytes[scenario.format];
    this.#pieceBytes = scenario.nodes > FEW_NODES ? size : Math.max(PIECE_BYTES, size / MOST_PIECES);
    for (let n = 0; n < scenario.nodes; n++) this.#join();
  }

  run(): Simulated {
    const { rounds, syncEvery } = this.#scenario;
    this.#exchange(1);
    this.#queue.run();
    const rows = this.#costs.batch * syncEvery;
    const skip = rounds > 1 ? 1 : 0;
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

  /** Phase 1: everybody is told which shards are its own, and is sent the parameters. */
  #exchange(round: number): void {
    const { shards, wire } = this.#costs;
    const { now } = this.#queue;
    this.#membership = divide(this.#membership, shards);
    const { members, ranges } = this.#membership;
    const nodes = members.map(({ id }) => this.#node(id));
    const groups = this.#scenario.topology === 'tree' ? groupsOf(nodes.length) : [];
    const exchange: Exchange = {
      round,
      start: now,
      alone: members.length === 1,
      lastReady: now,
      lastDone: now,
      missing: shards,
      sums: [],
      groups: groups.slice(1).map(({ first, count }) => ({
        leader: nodes[first],
        members: new Set(nodes.slice(first, first + count).map(({ id }) => id)),
        missing: ranges.slice(first, first + count).reduce((sum, range) => sum + range.count, 0),
        came: [],
      })),
    };
    nodes.forEach((node, i) => {
      node.ready = false;
      node.sent = ranges[i].count > 0;
      node.todo.length = 0;
      if (node.sent) node.todo.push(ranges[i]);
    });
    const losing = this.#losses(round);
    const begin = (node: Node): void => {
      node.ready = true;
      exchange.lastReady = Math.max(exchange.lastReady, this.#queue.now);
      if (losing.has(node.id)) this.#loseHalfWay(exchange, node);
      else this.#compute(exchange, node);
    };
    if (exchange.alone) begin(nodes[0]);
    else this.#queue.at(now + wire.wakeMs, () => this.#spread(nodes, groups, begin));
  }

  /** Parameters to all that compute: from the coordinator, or from the first of their group. */
  #spread(
    nodes: readonly Node[],
    groups: readonly { readonly first: number; readonly count: number }[],
    begin: (node: Node) => void,
  ): void {
    const star = groups.length === 0 ? [{ first: 0, count: nodes.length }] : groups;
    for (const { first, count } of star) {
      const [leader, ...rest] = nodes.slice(first, first + count).filter(({ sent }) => sent);
      if (leader === undefined) continue;
      const own = first === 0;
      this.#hand(leader, this.#main, this.#out, (node) => {
        if (!own) for (const other of rest) this.#hand(other, node.main, node.out, begin);
        begin(node);
      });
      if (own) for (const node of rest) this.#hand(node, this.#main, this.#out, begin);
    }
  }

  #hand(to: Node, from: Thread, out: Card, then: (node: Node) => void): void {
    const { downSendMs, downReceiveMs } = this.#costs.wire;
    const way = to.id === 0 ? undefined : { out, connection: to.id, into: to.in };
    this.#carry(from, downSendMs, way, to.main, downReceiveMs, () => then(to));
  }

  /** One vector from a main thread to another, piece by piece, over cards where they are on two machines. */
  #carry(from: Thread, sendMs: number, way: Way | undefined, to: Thread, receiveMs: number, done: () => void): void {
    const { bytes, wire } = this.#costs;
    const { format, link } = this.#scenario;
    const { relayMs = 0 } = link;
    const size = bytes[format];
    const pieces = Math.max(1, Math.ceil(size / this.#pieceBytes));
    const each = size / pieces;
    let left = pieces;
    const arrived = (): void => {
      to.run(each * receiveMs, () => {
        left -= 1;
        if (left === 0) done();
      });
    };
    for (let p = 0; p < pieces; p++) {
      from.run(each * sendMs, () => {
        if (way === undefined) this.#queue.at(this.#queue.now + wire.messageMs, arrived);
        else this.#relay.run(each * relayMs, () => way.out.send(way.connection, each, link.latencyMs + wire.messageMs, () => way.into.take(each, arrived))); // biome-ignore format: one line
      });
    }
  }

  /** Phase 2, on a node: its next shards, if it has the parameters and nothing else to do. */
  #compute(exchange: Exchange, node: Node): void {
    if (node.busy || node.dying || !node.ready) return;
    const range = node.todo.shift();
    if (range === undefined) return;
    const { wakeMs } = this.#costs.wire;
    const { alone } = exchange;
    const begun = this.#queue.now;
    node.busy = true;
    const finished = (): void => {
      node.busy = false;
      this.#membership = measured(this.#membership, node.id, range.count, this.#queue.now - begun);
      exchange.lastDone = Math.max(exchange.lastDone, this.#queue.now);
      if (alone) this.#arrive(exchange, range, this.#sumsOf(range));
      else this.#deliver(exchange, node, range);
      this.#compute(exchange, node);
    };
    const workers = this.#shares(node, range);
    const stages = [...workers, ...this.#sumUp(range, alone)];
    this.#stages(node.cores, stages, () => this.#queue.at(this.#queue.now + (alone ? 0 : 2 * wakeMs), finished));
  }

  /** What each worker of a node computes of some shards, step by step until the next exchange. */
  #shares(node: Node, range: ShardRange): Stage[] {
    const { shardMs, jitter, codec } = this.#costs;
    const { workers, syncEvery, stragglers, format } = this.#scenario;
    const slow = stragglers && node.id > 0 && node.id <= stragglers.count ? stragglers.factor : 1;
    const stages: Stage[] = [];
    const decodeMs = codec[format].decodeMs / workers;
    const { fixedMs } = this.#together(workers);
    for (let i = 0; i < syncEvery; i++) {
      const noise = (jitter === 0 ? 1 : Math.exp(jitter * this.#normal())) * slow;
      const parts = assignShards(range.count, workers).map(({ count }) => count * shardMs * noise);
      if (i === 0) stages.push({ ms: parts.map((ms) => ms + decodeMs), afterMs: fixedMs });
      else stages.push(this.#parallel({ updates: 1 }), { ms: parts, afterMs: fixedMs });
    }
    return stages;
  }

  /** What is left to a node's workers when all shards are done: adding up as far as that goes, and encoding. */
  #sumUp(range: ShardRange, alone: boolean): Stage[] {
    const { codec, shards } = this.#costs;
    if (alone) return [];
    const ends = this.#endsOf(range);
    const additions = this.#oneSum ? ends - 1 : ends - rootsOf(range, shards).length;
    const singleMs = codec[this.#scenario.format].encodeMs;
    return [this.#parallel({ additions: Math.max(0, additions), singleMs })];
  }

  /** Partial sums in which the workers of a node end. */
  #endsOf(range: ShardRange): number {
    const { shards } = this.#costs;
    const parts = assignShards(range.count, this.#scenario.workers).filter(({ count }) => count > 0);
    return parts.reduce((sum, { first, count }) => sum + rootsOf({ first: range.first + first, count }, shards).length, 0); // biome-ignore format: one line
  }

  /** Work of all workers of a process on their blocks; `singleMs`: what one thread would take for something else that they share. */
  #parallel(
    { additions = 0, updates = 0, singleMs = 0 }: { additions?: number; updates?: number; singleMs?: number },
    workers = this.#scenario.workers,
  ): Stage {
    const { workers: on, additionMs, updateMs } = this.#together(workers);
    const alone = ((additions * additionMs + updates * updateMs) * on) / this.#slowdown(on) + singleMs;
    return { ms: Array.from({ length: workers }, () => alone / workers), afterMs: 0 };
  }

  /** As measured on so many workers, or on fewer. */
  #together(workers: number): Together {
    const { together } = this.#costs;
    return together.findLast((t) => t.workers <= workers) ?? together[0];
  }

  /** One after the other; the threads of each at the same time. */
  #stages(cores: Cores, [stage, ...rest]: readonly Stage[], done: () => void): void {
    let running = stage?.ms.length ?? 0;
    if (stage === undefined) done();
    else
      for (const ms of stage.ms) {
        cores.run(ms, () => {
          running -= 1;
          if (running > 0) return;
          this.#queue.at(this.#queue.now + stage.afterMs, () => this.#stages(cores, rest, done));
        });
      }
  }

  /** Phase 3: a node's sums go to the coordinator, or to the first of its group. */
  #deliver(exchange: Exchange, node: Node, range: ShardRange): void {
    const group = exchange.groups.find(({ members }) => members.has(node.id));
    if (group === undefined || group.leader.lost) this.#send(exchange, node, range, this.#sumsOf(range));
    else if (group.leader === node) this.#gather(exchange, group, node, range);
    else this.#sums(node, this.#sumsOf(range).length, group.leader, () => this.#gather(exchange, group, node, range));
  }

  #gather(exchange: Exchange, group: Group, node: Node, range: ShardRange): void {
    if (group.leader.lost) {
      this.#send(exchange, node, range, this.#sumsOf(range)); // again, past it
      return;
    }
    group.came.push({ node, range });
    group.missing -= range.count;
    if (group.missing === 0) this.#pass(exchange, group);
  }

  /** The first of a group adds up what came, as far as that goes, and sends it on. */
  #pass(exchange: Exchange, group: Group): void {
    const { shards } = this.#costs;
    const ranges = group.came
      .splice(0)
      .map(({ range }) => range)
      .sort((a, b) => a.first - b.first);
    if (ranges.length === 0) return;
    const count = ranges.reduce((sum, r) => sum + r.count, 0);
    const all = ranges.flatMap((r) => this.#sumsOf(r));
    const whole = { first: ranges[0].first, count };
    const joined = ranges.every((r, i) => i === 0 || r.first === ranges[i - 1].first + ranges[i - 1].count);
    const sums = this.#oneSum ? [whole] : joined ? mergedSums(all, shards, whole) : all;
    const adding = this.#parallel({ additions: all.length - sums.length });
    this.#stages(group.leader.cores, [adding], () => this.#send(exchange, group.leader, whole, sums));
  }

  #send(exchange: Exchange, node: Node, range: ShardRange, sums: readonly TreeNode[]): void {
    this.#sums(node, sums.length, undefined, () => this.#arrive(exchange, range, sums));
  }

  /** So many sums from a node to another, or to the coordinator. */
  #sums(node: Node, count: number, to: Node | undefined, done: () => void): void {
    const { upSendMs, upReceiveMs } = this.#costs.wire;
    const way = node.id === 0 ? undefined : { out: node.out, connection: node.id, into: to?.in ?? this.#in };
    let left = count;
    for (let i = 0; i < count; i++) {
      this.#carry(node.main, upSendMs, way, to?.main ?? this.#main, upReceiveMs, () => {
        left -= 1;
        if (left === 0) done();
      });
    }
  }

  /** Phase 4: when all sums are there, the coordinator's workers finish the tree and update. */
  #arrive(exchange: Exchange, range: ShardRange, sums: readonly TreeNode[]): void {
    exchange.sums.push(...sums);
    exchange.missing -= range.count;
    if (exchange.missing > 0) return;
    const { shards, wire, codec } = this.#costs;
    const { sharedCores, nodes, workers, format } = this.#scenario;
    const { alone } = exchange;
    const came = this.#queue.now;
    const ordered = [...exchange.sums].sort((a, b) => a.first - b.first);
    const left = this.#oneSum ? ordered.length - 1 : additionsOf(ordered, shards);
    const additions = alone ? this.#endsOf(range) - 1 : left;
    const threads = sharedCores === undefined ? workers : Math.min(sharedCores, nodes * workers);
    const codecMs = alone ? 0 : codec[format].encodeMs + ordered.length * codec[format].decodeMs;
    const work = { additions: Math.max(1, additions), updates: 1, singleMs: codecMs }; // norms are taken anyway
    const update = this.#parallel(work, threads);
    const done = (): void => {
      const { now } = this.#queue;
      this.#phases.down += exchange.lastReady - exchange.start;
      this.#phases.compute += exchange.lastDone - exchange.lastReady;
      this.#phases.up += came - exchange.lastDone;
      this.#phases.update += now - came;
      this.#ends[exchange.round] = now;
      for (const { round, join: count = 0 } of this.#scenario.changes ?? []) {
        if (round === exchange.round) for (let n = 0; n < count; n++) this.#join();
      }
      if (exchange.round < this.#scenario.rounds) this.#exchange(exchange.round + 1);
    };
    const wake = alone ? 0 : wire.wakeMs;
    this.#queue.at(came + wake, () => this.#stages(this.#cores, [update], done));
  }

  /** A node is lost half way through its shards: when that is noticed the others take them when they are done with theirs. */
  #loseHalfWay(exchange: Exchange, node: Node): void {
    const { shardMs } = this.#costs;
    const { workers, syncEvery } = this.#scenario;
    const work = node.todo.reduce((sum, { count }) => sum + count, 0);
    node.dying = true;
    const half = (Math.ceil(work / workers) * shardMs * syncEvery) / 2;
    this.#queue.at(this.#queue.now + half + NOTICE_MS, () => {
      node.lost = true;
      this.#membership = leave(this.#membership, node.id);
      const group = exchange.groups.find(({ members }) => members.has(node.id));
      if (group && group.leader === node) {
        // Who has sent sums to it still has them.
        for (const { node: other, range } of group.came.splice(0)) this.#send(exchange, other, range, this.#sumsOf(range)); // biome-ignore format: one line
      }
      for (const range of node.todo.splice(0)) {
        this.#repeated += range.count;
        if (group) group.missing -= range.count; // they come from elsewhere
        divideAmong(this.#membership.members, range).forEach((part, i) => {
          if (part.count > 0) this.#give(exchange, this.#node(this.#membership.members[i].id), part);
        });
      }
      if (group && !group.leader.lost && group.missing === 0) this.#pass(exchange, group);
    });
  }

  /** Further shards for a node: it may not have had any, and then no parameters. */
  #give(exchange: Exchange, node: Node, range: ShardRange): void {
    const group = exchange.groups.find(({ members }) => members.has(node.id));
    if (group) group.missing += range.count;
    node.todo.push(range);
    if (node.ready) this.#compute(exchange, node);
    if (node.sent) return;
    node.sent = true;
    this.#hand(node, this.#main, this.#out, () => {
      node.ready = true;
      exchange.lastReady = Math.max(exchange.lastReady, this.#queue.now);
      this.#compute(exchange, node);
    });
  }

  /** Lossy formats send one sum a node, and local steps leave one change of the parameters, whatever the shards. */
  get #oneSum(): boolean {
    return this.#scenario.syncEvery > 1 || this.#scenario.format !== 'fp32';
  }

  #sumsOf(range: ShardRange): readonly TreeNode[] {
    return this.#oneSum ? [range] : rootsOf(range, this.#costs.shards);
  }

  /** Members that are lost in this exchange: never the first, nor one that has nothing to do. */
  #losses(round: number): ReadonlySet<number> {
    const lost = new Set<number>();
    const { members, ranges } = this.#membership;
    const candidates = members.filter((_, i) => i > 0 && ranges[i].count > 0).map(({ id }) => id);
    for (const { round: at, lose = 0 } of this.#scenario.changes ?? []) {
      const count = at === round ? Math.min(lose, candidates.length) : 0;
      while (lost.size < count) lost.add(candidates[Math.floor(this.#random() * candidates.length)]);
    }
    return lost;
  }

  #join(): void {
    const id = this.#nextId++;
    const { workers, link, sharedCores } = this.#scenario;
    const cores = id === 0 || sharedCores !== undefined ? this.#cores : this.#machine();
    this.#nodes.set(id, {
      id,
      cores,
      main: new Thread(cores),
      out: new Card(this.#queue, link.bytesPerMs),
      in: new Card(this.#queue, link.bytesPerMs),
      dying: false,
      lost: false,
      todo: [],
      sent: false,
      ready: false,
      busy: false,
    });
    this.#membership = join(this.#membership, { id, workers });
  }

  #node(id: number): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new RangeError(`simulation: no node ${id}`);
    return node;
  }

  #machine(): Cores {
    const { sharedCores, workers } = this.#scenario;
    return new Cores(this.#queue, sharedCores ?? workers, (running) => this.#slowdown(running));
  }

  #slowdown(running: number): number {
    const { slowdown } = this.#costs;
    return slowdown[Math.min(running, slowdown.length) - 1];
  }

  /** Box-Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
  }
}

/** Work of some threads at the same time, and the time until what comes next. */
interface Stage {
  readonly ms: readonly number[];
  readonly afterMs: number;
}

/** Neighbouring nodes in groups of about the square root of their number. */
export function groupsOf(nodes: number): { readonly first: number; readonly count: number }[] {
  const size = Math.max(1, Math.round(Math.sqrt(nodes)));
  const groups = [];
  for (let first = 0; first < nodes; first += size) groups.push({ first, count: Math.min(size, nodes - first) });
  return groups;
}
