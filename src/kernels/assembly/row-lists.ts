/**
 * Sparse gradients: a list of rows (ids ascending and distinct, one gradient row each) for every lookup of a shard, and the merge
 * of all lists of a step in the order of the gradient tree. A list's header is three u32: count, address of the ids, of the rows.
 */

// @ts-ignore: decorator
@inline
const HEADER: usize = 64;
/** More levels than an index of 32 bits has. */
// @ts-ignore: decorator
@inline
const STACK: usize = 40;

function copyWords(out: usize, x: usize, count: usize): void {
  memory.copy(out, x, count << 2);
}

/** out = a + b */
function addWords(out: usize, a: usize, b: usize, count: usize): void {
  const end = out + ((count & ~3) << 2);
  while (out < end) {
    v128.store(out, f32x4.add(v128.load(a), v128.load(b)));
    a += 16;
    b += 16;
    out += 16;
  }
  for (let rest = count & 3; rest; rest--) {
    store<f32>(out, load<f32>(a) + load<f32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** Rows of equal ids are added in order of i. Sorted by bytes, least significant first, which keeps that order. */
export function listRows(
  list: usize, indices: usize, dy: usize, count: usize, width: usize, tableRows: i32, scratch: usize,
): void {
  let from = scratch;
  let to = scratch + (count << 3);
  const starts = to + (count << 3);
  for (let i: usize = 0; i < count; i++) {
    const id = max(min(load<i32>(indices + (i << 2)), tableRows - 1), 0);
    store<u64>(from + (i << 3), (<u64>id << 32) | <u64>i);
  }
  const last = <u32>(tableRows - 1);
  for (let shift: u32 = 0; shift < 32 && last >> shift > 0; shift += 8) {
    memory.fill(starts, 0, 1024);
    for (let i: usize = 0; i < count; i++) {
      const bin = starts + ((<usize>(load<u32>(from + (i << 3), 4) >> shift) & 255) << 2);
      store<u32>(bin, load<u32>(bin) + 1);
    }
    let before: u32 = 0;
    for (let bin = starts; bin < starts + 1024; bin += 4) {
      const here = load<u32>(bin);
      store<u32>(bin, before);
      before += here;
    }
    for (let i: usize = 0; i < count; i++) {
      const key = load<u64>(from + (i << 3));
      const bin = starts + ((<usize>(<u32>(key >> 32) >> shift) & 255) << 2);
      const place = <usize>load<u32>(bin);
      store<u32>(bin, <u32>place + 1);
      store<u64>(to + (place << 3), key);
    }
    const other = from;
    from = to;
    to = other;
  }
  const ids = <usize>load<u32>(list, 4);
  const rows = <usize>load<u32>(list, 8);
  const bytes = width << 2;
  let listed: usize = 0;
  let known: i32 = -1;
  for (let i: usize = 0; i < count; i++) {
    const key = load<u64>(from + (i << 3));
    const id = <i32>(key >> 32);
    const row = dy + <usize>(<u32>key) * bytes;
    if (id != known) {
      known = id;
      store<i32>(ids + (listed << 2), id);
      copyWords(rows + listed * bytes, row, width);
      listed++;
    } else {
      const sum = rows + (listed - 1) * bytes;
      addWords(sum, sum, row, width);
    }
  }
  store<u32>(list, <u32>listed);
}

/** Entries of a list with an id below `id`. */
function entriesBelow(list: usize, id: u32): usize {
  const ids = <usize>load<u32>(list, 4);
  let low: usize = 0;
  let high = <usize>load<u32>(list);
  while (low < high) {
    const middle = (low + high) >> 1;
    if (load<u32>(ids + (middle << 2)) < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

// @ts-ignore: decorator
@inline
function header(lists: usize, stride: usize, perShard: usize, index: usize): usize {
  return lists + (index / perShard) * stride + (index % perShard) * HEADER;
}

/** Where bucket `b` begins: at quantiles of the first list that has entries. */
function bucketStart(
  lists: usize, stride: usize, perShard: usize, count: usize, b: usize, buckets: usize,
): u32 {
  if (b == 0) return 0;
  if (b == buckets) return u32.MAX_VALUE;
  for (let i: usize = 0; i < count; i++) {
    const list = header(lists, stride, perShard, i);
    const entries = <usize>load<u32>(list);
    if (entries) return load<u32>(<usize>load<u32>(list, 4) + ((b * entries) / buckets << 2));
  }
  return u32.MAX_VALUE;
}

/** Restores the order of a heap of u64 whose entry `i` may be too large. */
function siftDown(heap: usize, size: usize, i: usize): void {
  const key = load<u64>(heap + (i << 3));
  for (;;) {
    let child: usize = 2 * i + 1;
    if (child >= size) break;
    if (child + 1 < size && load<u64>(heap + ((child + 1) << 3)) < load<u64>(heap + (child << 3))) child++;
    const smaller = load<u64>(heap + (child << 3));
    if (smaller >= key) break;
    store<u64>(heap + (i << 3), smaller);
    i = child;
  }
  store<u64>(heap + (i << 3), key);
}

export function mergeRowLists(
  lists: usize, stride: usize, shards: usize, perShard: usize, first: usize, end: usize, buckets: usize, places: usize,
  ids: usize, rows: usize, width: usize, scratch: usize,
): void {
  const count = shards * perShard;
  const bytes = width << 2;
  const heap = scratch;
  const cursors = heap + (count << 3);
  // A stack of sums still to be added: address of each, level of the tree node that joins it with the one below.
  const sums = cursors + (count << 2);
  const levels = sums + (STACK << 2);
  const temporaries = (levels + (STACK << 2) + 15) & ~15;

  for (let b = first; b < end; b++) {
    const low = bucketStart(lists, stride, perShard, count, b, buckets);
    const high = bucketStart(lists, stride, perShard, count, b + 1, buckets);
    let start: usize = 0;
    let size: usize = 0;
    for (let i: usize = 0; i < count; i++) {
      const list = header(lists, stride, perShard, i);
      const at = entriesBelow(list, low);
      start += at;
      store<u32>(cursors + (i << 2), <u32>at);
      if (at < <usize>load<u32>(list)) {
        const id = load<u32>(<usize>load<u32>(list, 4) + (at << 2));
        if (id < high) store<u64>(heap + (size++ << 3), (<u64>id << 32) | <u64>i);
      }
    }
    for (let i = size >> 1; i > 0; i--) siftDown(heap, size, i - 1);

    let merged: usize = 0;
    while (size) {
      const id = <u32>(load<u64>(heap) >> 32);
      const out = rows + (start + merged) * bytes;
      let top: usize = 0; // entries of the stack
      let before: u32 = 0;
      while (size && <u32>(load<u64>(heap) >> 32) == id) {
        const i = <u32>load<u64>(heap);
        const list = header(lists, stride, perShard, <usize>i);
        const cursor = cursors + (<usize>i << 2);
        const at = <usize>load<u32>(cursor);
        // Indices that differ in a higher bit meet further up in the tree: what meets below is added first.
        const level: u32 = top ? 31 - clz<u32>(i ^ before) : 32;
        while (top > 1 && load<u32>(levels + ((top - 1) << 2)) < level) {
          top--;
          join(sums, temporaries, out, top, width);
        }
        store<u32>(sums + (top << 2), <u32>(<usize>load<u32>(list, 8) + at * bytes));
        store<u32>(levels + (top << 2), level);
        top++;
        before = i;

        store<u32>(cursor, <u32>at + 1);
        let next = u32.MAX_VALUE;
        if (at + 1 < <usize>load<u32>(list)) next = load<u32>(<usize>load<u32>(list, 4) + ((at + 1) << 2));
        if (next < high) store<u64>(heap, (<u64>next << 32) | <u64>i);
        else if (--size) store<u64>(heap, load<u64>(heap + (size << 3)));
        if (size) siftDown(heap, size, 0);
      }
      if (top == 1) copyWords(out, <usize>load<u32>(sums), width);
      else {
        while (top > 1) {
          top--;
          join(sums, temporaries, out, top, width);
        }
      }
      store<u32>(ids + ((start + merged) << 2), id);
      merged++;
    }
    store<u32>(places + (b << 3), <u32>start);
    store<u32>(places + (b << 3), <u32>merged, 4);
  }
}

/** Entry top - 1 of the stack += entry `top`, in the memory of that place: `out` for the lowest. */
function join(sums: usize, temporaries: usize, out: usize, top: usize, width: usize): void {
  const below = sums + ((top - 1) << 2);
  const target = top == 1 ? out : temporaries + (top - 1) * (width << 2);
  addWords(target, <usize>load<u32>(below), <usize>load<u32>(sums + (top << 2)), width);
  store<u32>(below, <u32>target);
}
