import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

/**
 * The line protocol of scripts/bench/protocol.ts for a peer in JavaScript. `contestant(request)` gives an object with
 * `reset()`, `step(ids) -> loss`, `version` and, if the steps leave something out, `leavesOut`.
 */
export async function serve(contestant) {
  let current;
  let batches;
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    if (request.cmd === 'close') break;
    let reply;
    try {
      if (request.cmd === 'setup') {
        const rows = readFileSync(`${request.folder}/y.i32`).byteLength / 4;
        current = await contestant({ ...request, rows });
        batches = new Batches(rows, request.batch);
        reply = { ok: true, version: current.version, threads: 1, leavesOut: current.leavesOut };
      } else if (request.cmd === 'parity') {
        current.reset();
        reply = { losses: [] };
        for (const ids of split(readInts(request.ids), batches.size)) reply.losses.push(current.step(ids));
      } else if (request.cmd === 'run') {
        current.reset();
        batches.restart();
        const end = (seconds) => performance.now() + 1000 * seconds;
        const steps = (until, least) => {
          const stepsMs = [];
          for (let before = performance.now(); before < until || stepsMs.length < least; ) {
            current.step(batches.next());
            const now = performance.now();
            stepsMs.push(now - before);
            before = now;
          }
          return stepsMs;
        };
        steps(end(request.warmup), 2);
        reply = { stepsMs: steps(end(request.seconds), 5) };
      } else {
        reply = { error: `unknown command ${request.cmd}` };
      }
    } catch (error) {
      reply = { error: error instanceof Error ? error.message : String(error) };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
}

/** Batches of row ids from a new permutation every epoch. */
class Batches {
  constructor(rows, size) {
    this.size = size;
    this.order = Int32Array.from({ length: rows }, (_, i) => i);
    this.restart();
  }

  restart() {
    this.at = this.order.length;
  }

  next() {
    if (this.at + this.size > this.order.length) {
      for (let i = this.order.length - 1; i > 0; i--) {
        const j = Math.floor(Math.random() * (i + 1));
        const id = this.order[i];
        this.order[i] = this.order[j];
        this.order[j] = id;
      }
      this.at = 0;
    }
    this.at += this.size;
    return this.order.slice(this.at - this.size, this.at);
  }
}

export function readInts(path) {
  return new Int32Array(new Uint8Array(readFileSync(path)).buffer);
}

export function readFloats(path) {
  return new Float32Array(new Uint8Array(readFileSync(path)).buffer);
}

/** The weights of a stack of dense layers as Lockstep stores them: per layer [in, out] row-major, then the bias. */
export function denseWeights(path, sizes) {
  const flat = readFloats(path);
  const layers = [];
  let offset = 0;
  for (let i = 0; i + 1 < sizes.length; i++) {
    const [ins, outs] = [sizes[i], sizes[i + 1]];
    layers.push({
      ins,
      outs,
      weight: flat.slice(offset, offset + ins * outs),
      bias: flat.slice(offset + ins * outs, offset + ins * outs + outs),
    });
    offset += ins * outs + outs;
  }
  return layers;
}

function split(ids, size) {
  return Array.from({ length: ids.length / size }, (_, i) => ids.slice(i * size, (i + 1) * size));
}
