import { PIECE_BYTES } from '../../cluster/transfer.ts';
import type { ShardRange } from '../membership/assignment.ts';
import { divide, divideAmong, join, leave, type Membership, measured, NOBODY } from '../membership/members.ts';
import type { TreeNode } from '../parallel/gradient-tree.ts';
import { Card } from './card.ts';
import { Cores, Thread } from './cores.ts';
import type { FinalPart } from './early-uploads.ts';
import { EventQueue } from './events.ts';
import { mergedSums } from './protocol.ts';
import type { JobCosts, Scenario, Simulated } from './scenario.ts';
import { uniformNumbers } from './uniform-numbers.ts';
import { runStages, Work, type Workers } from './work.ts';

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
  readonly workers: Workers;
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

/** Of a node's one sum: the bytes that have not left before its shards were done, and the parts that are on their way. */
interface Early {
  left: number;
  flying: number;
  /** What happens when the last of them is there. */
  landed: (() => void) | undefined;
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
  readonly #work: Work;
  readonly #nodes = new Map<number, Node>();
  /** Of the machine that has the coordinator. */
  readonly #cores: Cores;
  /** That have the optimizer. */
  readonly #workers: Workers;
  readonly #main: Thread;
  readonly #relay: Thread;
  readonly #out: Card;
  readonly #in: Card;
  readonly #ends: number[] = [0];
  readonly #phases = { compute: 0, up: 0, update: 0, down: 0 };
  readonly #vectorBytes: number;
  readonly #pieceBytes: number;
  #membership: Membership = NOBODY;
  #nextId = 0;
  #repeated = 0;

  constructor(costs: JobCosts, scenario: Scenario) {
    this.#costs = costs;
    this.#scenario = scenario;
    this.#random = uniformNumbers(scenario.seed ?? 1);
    this.#work = new Work(costs, scenario, () => this.#normal());
    this.#cores = this.#machine();
    this.#main = new Thread(this.#cores);
    this.#relay = new Thread(this.#cores);
    this.#workers = { cores: this.#cores, runners: runnersOf(scenario.workers * scenario.nodes) };
    const { bytesPerMs } = scenario.link;
    this.#out = new Card(this.#queue, bytesPerMs);
    this.#in = new Card(this.#queue, bytesPerMs);
    const size = costs.bytes[scenario.format];
    this.#vectorBytes = size;
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
    this.#carry(this.#vectorBytes, from, downSendMs, way, to.main, downReceiveMs, () => then(to));
  }

  /** Bytes of a vector from a main thread to another, piece by piece, over cards where they are on two machines. */
  #carry(
    size: number,
    from: Thread,
    sendMs: number,
    way: Way | undefined,
    to: Thread,
    receiveMs: number,
    done: () => void,
  ): void {
    const { wire } = this.#costs;
    const { link } = this.#scenario;
    const { relayMs = 0 } = link;
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
    const start = this.#queue.now;
    const early: Early = { left: this.#vectorBytes, flying: 0, landed: undefined };
    node.busy = true;
    const finished = (): void => {
      node.busy = false;
      this.#membership = measured(this.#membership, node.id, { shards: range.count, ms: this.#queue.now - start });
      exchange.lastDone = Math.max(exchange.lastDone, this.#queue.now);
      if (alone) this.#arrive(exchange, range, this.#work.sumsOf(range));
      else this.#deliver(exchange, node, range, early);
      this.#compute(exchange, node);
    };
    const { stragglers } = this.#scenario;
    const slow = stragglers && node.id > 0 && node.id <= stragglers.count ? stragglers.factor : 1;
    const stages = this.#work.shares(range, slow);
    if (!alone) stages.push(this.#work.sumUp(range));
    const finals = alone || groupOf(exchange, node) ? [] : (this.#work.earlyOf(range)?.finals ?? []);
    const done = () => this.#queue.at(this.#queue.now + (alone ? 0 : 2 * wakeMs), finished);
    runStages(this.#queue, node.workers, stages, done, (part) => this.#sendEarly(node, early, finals.at(part)));
  }

  /** The end of a node's one sum is final, and leaves while its workers go on. */
  #sendEarly(node: Node, early: Early, final: FinalPart | undefined): void {
    if (final === undefined) return;
    const { upSendMs, upReceiveMs, wakeMs } = this.#costs.wire;
    const bytes = early.left - final.fromBytes;
    early.left = final.fromBytes;
    early.flying += 1;
    const landed = (): void => {
      early.flying -= 1;
      if (early.flying === 0) early.landed?.();
    };
    this.#queue.at(this.#queue.now + wakeMs, () =>
      this.#carry(bytes, node.main, upSendMs, this.#wayUp(node), this.#main, upReceiveMs, landed),
    );
  }

  /** Phase 3: a node's sums go to the coordinator, or to the first of its group. */
  #deliver(exchange: Exchange, node: Node, range: ShardRange, early: Early): void {
    const group = groupOf(exchange, node);
    if (group === undefined || group.leader.lost) this.#send(exchange, node, range, this.#work.sumsOf(range), early);
    else if (group.leader === node) this.#gather(exchange, group, node, range);
    else
      this.#sums(node, this.#work.sumsOf(range).length, group.leader, () => this.#gather(exchange, group, node, range));
  }

  #gather(exchange: Exchange, group: Group, node: Node, range: ShardRange): void {
    if (group.leader.lost) {
      this.#send(exchange, node, range, this.#work.sumsOf(range)); // again, past it
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
    const all = ranges.flatMap((r) => this.#work.sumsOf(r));
    const whole = { first: ranges[0].first, count };
    const joined = ranges.every((r, i) => i === 0 || r.first === ranges[i - 1].first + ranges[i - 1].count);
    const sums = this.#work.oneSum ? [whole] : joined ? mergedSums(all, shards, whole) : all;
    const adding = this.#work.addUp(all.length - sums.length);
    runStages(this.#queue, group.leader.workers, [adding], () => this.#send(exchange, group.leader, whole, sums));
  }

  #send(exchange: Exchange, node: Node, range: ShardRange, sums: readonly TreeNode[], early?: Early): void {
    this.#sums(node, sums.length, undefined, () => this.#arrive(exchange, range, sums), early);
  }

  /** So many sums from a node to another, or to the coordinator; of one the end may be on its way. */
  #sums(node: Node, count: number, to: Node | undefined, done: () => void, early?: Early): void {
    const { upSendMs, upReceiveMs } = this.#costs.wire;
    const bytes = early?.left ?? this.#vectorBytes;
    let left = count;
    for (let i = 0; i < count; i++) {
      this.#carry(bytes, node.main, upSendMs, this.#wayUp(node, to), to?.main ?? this.#main, upReceiveMs, () => {
        left -= 1;
        if (left > 0) return;
        if (early && early.flying > 0) early.landed = done;
        else done();
      });
    }
  }

  #wayUp(node: Node, to?: Node): Way | undefined {
    return node.id === 0 ? undefined : { out: node.out, connection: node.id, into: to?.in ?? this.#in };
  }

  /** Phase 4: when all sums are there, the coordinator's workers finish the tree and update. */
  #arrive(exchange: Exchange, range: ShardRange, sums: readonly TreeNode[]): void {
    exchange.sums.push(...sums);
    exchange.missing -= range.count;
    if (exchange.missing > 0) return;
    const { alone } = exchange;
    const came = this.#queue.now;
    const update = this.#work.update(range, exchange.sums, alone);
    const workers = alone ? this.#node(this.#membership.members[0].id).workers : this.#workers;
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
    const wake = alone ? 0 : this.#costs.wire.wakeMs;
    this.#queue.at(came + wake, () => runStages(this.#queue, workers, [update], done));
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
      const group = groupOf(exchange, node);
      if (group && group.leader === node) {
        // Who has sent sums to it still has them.
        for (const { node: other, range } of group.came.splice(0)) this.#send(exchange, other, range, this.#work.sumsOf(range)); // biome-ignore format: one line
      }
      for (const range of node.todo.splice(0)) {
        this.#repeated += range.count;
        if (group) group.missing -= range.count; // they come from elsewhere
        divideAmong(this.#membership.members, range, this.#costs.shards).forEach((part, i) => {
          if (part.count > 0) this.#give(exchange, this.#node(this.#membership.members[i].id), part);
        });
      }
      if (group && !group.leader.lost && group.missing === 0) this.#pass(exchange, group);
    });
  }

  /** Further shards for a node: it may not have had any, and then no parameters. */
  #give(exchange: Exchange, node: Node, range: ShardRange): void {
    const group = groupOf(exchange, node);
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
      workers: { cores, runners: runnersOf(workers) },
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
    this.#membership = join(this.#membership, { id, workers, ...this.#work.measuredOf(id === 0) });
  }

  #node(id: number): Node {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new RangeError(`simulation: no node ${id}`);
    return node;
  }

  #machine(): Cores {
    const { sharedCores, workers } = this.#scenario;
    return new Cores(this.#queue, sharedCores ?? workers, (running) => this.#work.slowdown(running));
  }

  /** Box-Muller. */
  #normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.#random())) * Math.cos(2 * Math.PI * this.#random());
  }
}

const groupOf = ({ groups }: Exchange, { id }: Node): Group | undefined =>
  groups.find(({ members }) => members.has(id));

const runnersOf = (count: number) => Array.from({ length: count }, () => ({}));

/** Neighbouring nodes in groups of about the square root of their number. */
export function groupsOf(nodes: number): { readonly first: number; readonly count: number }[] {
  const size = Math.max(1, Math.round(Math.sqrt(nodes)));
  const groups = [];
  for (let first = 0; first < nodes; first += size) groups.push({ first, count: Math.min(size, nodes - first) });
  return groups;
}
