/** Two threads take turns at writing one number: each turn moves its cache line from one core to the other and back. */

const TURN = 16; // alone in its line
const STOP = 32;
const CELLS = 48;

export const turnCells = (): Int32Array => new Int32Array(new SharedArrayBuffer(4 * CELLS));

/** Ends the other side. */
export function stopTurns(cells: Int32Array): void {
  Atomics.store(cells, STOP, 1);
}

/** Answers every turn until it is told to stop. */
export function answerTurns(cells: Int32Array): void {
  for (let turn = 1; ; turn += 2) {
    while (Atomics.load(cells, TURN) !== turn) if (Atomics.load(cells, STOP) === 1) return;
    Atomics.store(cells, TURN, turn + 1);
  }
}

/** Takes up to `turns` turns from turn number `first` on, until `deadline` (performance.now()); whether all were answered. */
export function takeTurns(cells: Int32Array, first: number, turns: number, deadline: number): boolean {
  for (let turn = 2 * first; turn < 2 * (first + turns); turn += 2) {
    Atomics.store(cells, TURN, turn + 1);
    for (let spins = 1; Atomics.load(cells, TURN) !== turn + 2; spins++) {
      if (spins % 4096 === 0 && performance.now() > deadline) return false;
    }
  }
  return true;
}
