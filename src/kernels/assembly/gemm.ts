/**
 * Single-precision GEMM, C = op(A) op(B) + beta C. A register tile of 6 x 8 (twelve accumulators, two vectors of B and one
 * broadcast element of A fill the fifteen registers that V8 gives), op(A) and op(B) packed into panels that the tile reads
 * in order. (The loop over k is not unrolled: V8 then keeps all accumulators in registers, and does not when it is.) Each element of C is summed over k in order, in blocks whose size depends on k alone: so a row of C has the
 * same bits whatever m is, packed or not.
 * After K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", TOMS 2008; here B is packed one panel at a time,
 * just before it is used, so it is read from level-1 cache.
 */
import { transposePlane } from './move';
import { loadTail, madd, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
const TILE_ROWS: usize = 6;
// @ts-ignore: decorator
@inline
const TILE_COLUMNS: usize = 8;
/** Longest block of k: a panel of B is then 6 KiB, one of A 5 KiB. */
// @ts-ignore: decorator
@inline
const BLOCK_K: usize = 200;
/** Rows of A that are packed at once: 200 KiB, for the level-2 cache. */
// @ts-ignore: decorator
@inline
const BLOCK_ROWS: usize = 258;

/** Writes (or adds) one row of a tile. */
// @ts-ignore: decorator
@inline
function storeRow(c: usize, low: v128, high: v128, add: bool, columns: usize): void {
  if (columns == 8) {
    if (add) {
      low = f32x4.add(low, v128.load(c));
      high = f32x4.add(high, v128.load(c, 16));
    }
    v128.store(c, low);
    v128.store(c, high, 16);
  } else {
    storeEdge(c, low, high, add, columns);
  }
}

function storeEdge(c: usize, low: v128, high: v128, add: bool, columns: usize): void {
  if (columns >= 4) {
    if (add) low = f32x4.add(low, v128.load(c));
    v128.store(c, low);
    c += 16;
    columns -= 4;
    low = high;
  }
  if (columns) {
    if (add) low = f32x4.add(low, loadTail(c, columns, splat(0)));
    storeTail(c, columns, low);
  }
}

/** Tiles of C from a packed panel of A and rows of a panel of B; `rows` and `columns` say how much of C exists. */
function tile6x8(
  k: usize, a: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let c00 = splat(0);
  let c01 = splat(0);
  let c10 = splat(0);
  let c11 = splat(0);
  let c20 = splat(0);
  let c21 = splat(0);
  let c30 = splat(0);
  let c31 = splat(0);
  let c40 = splat(0);
  let c41 = splat(0);
  let c50 = splat(0);
  let c51 = splat(0);
  for (; k; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = v128.load32_splat(a, 16);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = v128.load32_splat(a, 20);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    a += TILE_ROWS << 2;
    b += bStep;
  }
  storeRow(c, c00, c01, add, columns);
  c += cRow;
  if (rows == 1) return;
  storeRow(c, c10, c11, add, columns);
  c += cRow;
  if (rows == 2) return;
  storeRow(c, c20, c21, add, columns);
  c += cRow;
  if (rows == 3) return;
  storeRow(c, c30, c31, add, columns);
  c += cRow;
  if (rows == 4) return;
  storeRow(c, c40, c41, add, columns);
  c += cRow;
  if (rows == 5) return;
  storeRow(c, c50, c51, add, columns);
}

function tile4x8(
  k: usize, a: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let c00 = splat(0);
  let c01 = splat(0);
  let c10 = splat(0);
  let c11 = splat(0);
  let c20 = splat(0);
  let c21 = splat(0);
  let c30 = splat(0);
  let c31 = splat(0);
  for (; k; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a += TILE_ROWS << 2;
    b += bStep;
  }
  storeRow(c, c00, c01, add, columns);
  c += cRow;
  if (rows == 1) return;
  storeRow(c, c10, c11, add, columns);
  c += cRow;
  if (rows == 2) return;
  storeRow(c, c20, c21, add, columns);
  c += cRow;
  if (rows == 3) return;
  storeRow(c, c30, c31, add, columns);
}

function tile2x8(
  k: usize, a: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let c00 = splat(0);
  let c01 = splat(0);
  let c10 = splat(0);
  let c11 = splat(0);
  for (; k; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    a += TILE_ROWS << 2;
    b += bStep;
  }
  storeRow(c, c00, c01, add, columns);
  c += cRow;
  if (rows == 1) return;
  storeRow(c, c10, c11, add, columns);
}

function tile6x4(
  k: usize, a: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let c00 = splat(0);
  let c10 = splat(0);
  let c20 = splat(0);
  let c30 = splat(0);
  let c40 = splat(0);
  let c50 = splat(0);
  for (; k; k--) {
    const b0 = v128.load(b);
    let x = v128.load32_splat(a);
    c00 = madd(x, b0, c00);
    x = v128.load32_splat(a, 4);
    c10 = madd(x, b0, c10);
    x = v128.load32_splat(a, 8);
    c20 = madd(x, b0, c20);
    x = v128.load32_splat(a, 12);
    c30 = madd(x, b0, c30);
    x = v128.load32_splat(a, 16);
    c40 = madd(x, b0, c40);
    x = v128.load32_splat(a, 20);
    c50 = madd(x, b0, c50);
    a += TILE_ROWS << 2;
    b += bStep;
  }
  storeEdge(c, c00, c00, add, columns);
  c += cRow;
  if (rows == 1) return;
  storeEdge(c, c10, c10, add, columns);
  c += cRow;
  if (rows == 2) return;
  storeEdge(c, c20, c20, add, columns);
  c += cRow;
  if (rows == 3) return;
  storeEdge(c, c30, c30, add, columns);
  c += cRow;
  if (rows == 4) return;
  storeEdge(c, c40, c40, add, columns);
  c += cRow;
  if (rows == 5) return;
  storeEdge(c, c50, c50, add, columns);
}

/** The smallest tile that holds what exists. */
// @ts-ignore: decorator
@inline
function tile(
  k: usize, a: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  if (columns <= 4) tile6x4(k, a, b, bStep, c, cRow, add, rows, columns);
  else if (rows > 4) tile6x8(k, a, b, bStep, c, cRow, add, rows, columns);
  else if (rows > 2) tile4x8(k, a, b, bStep, c, cRow, add, rows, columns);
  else tile2x8(k, a, b, bStep, c, cRow, add, rows, columns);
}

/** Panel [k][6] of op(A) from rows of A: out[l * 6 + i] = a[i, l]. */
function packRows(out: usize, a: usize, stride: usize, rows: usize, k: usize): void {
  if (rows < TILE_ROWS) {
    transposePlane(out, a, k, rows, stride, TILE_ROWS << 2);
    return;
  }
  for (; k >= 4; k -= 4) {
    const r0 = v128.load(a);
    const r1 = v128.load(a + stride);
    const r2 = v128.load(a + 2 * stride);
    const r3 = v128.load(a + 3 * stride);
    const r4 = v128.load(a + 4 * stride);
    const r5 = v128.load(a + 5 * stride);
    const l0 = v128.shuffle<u32>(r0, r1, 0, 4, 1, 5);
    const l1 = v128.shuffle<u32>(r2, r3, 0, 4, 1, 5);
    const l2 = v128.shuffle<u32>(r4, r5, 0, 4, 1, 5);
    v128.store(out, v128.shuffle<u64>(l0, l1, 0, 2));
    v128.store_lane<u64>(out, l2, 0, 16);
    v128.store(out, v128.shuffle<u64>(l0, l1, 1, 3), 24);
    v128.store_lane<u64>(out, l2, 1, 40);
    const h0 = v128.shuffle<u32>(r0, r1, 2, 6, 3, 7);
    const h1 = v128.shuffle<u32>(r2, r3, 2, 6, 3, 7);
    const h2 = v128.shuffle<u32>(r4, r5, 2, 6, 3, 7);
    v128.store(out, v128.shuffle<u64>(h0, h1, 0, 2), 48);
    v128.store_lane<u64>(out, h2, 0, 64);
    v128.store(out, v128.shuffle<u64>(h0, h1, 1, 3), 72);
    v128.store_lane<u64>(out, h2, 1, 88);
    a += 16;
    out += (TILE_ROWS * 4) << 2;
  }
  for (; k; k--) {
    for (let i: usize = 0; i < TILE_ROWS; i++) store<u32>(out + (i << 2), load<u32>(a + i * stride));
    a += 4;
    out += TILE_ROWS << 2;
  }
}

/** Panel [k][6] of op(A) from columns of A: out[l * 6 + i] = a[l, i]. */
function packColumns(out: usize, a: usize, stride: usize, rows: usize, k: usize): void {
  if (rows == 6) {
    for (; k; k--) {
      v128.store(out, v128.load(a));
      store<u64>(out, load<u64>(a, 16), 16);
      a += stride;
      out += TILE_ROWS << 2;
    }
  } else {
    for (; k; k--) {
      for (let i: usize = 0; i < rows; i++) store<u32>(out + (i << 2), load<u32>(a + (i << 2)));
      a += stride;
      out += TILE_ROWS << 2;
    }
  }
}

/** Panel [k][8] of op(B) from rows of B: out[l * 8 + j] = b[l, j]; columns that do not exist are left as they are. */
function packPanel(out: usize, b: usize, stride: usize, columns: usize, k: usize): void {
  if (columns == 8) {
    for (; k; k--) {
      v128.store(out, v128.load(b));
      v128.store(out, v128.load(b, 16), 16);
      b += stride;
      out += TILE_COLUMNS << 2;
    }
  } else {
    for (; k; k--) {
      for (let j: usize = 0; j < columns; j++) store<u32>(out + (j << 2), load<u32>(b + (j << 2)));
      b += stride;
      out += TILE_COLUMNS << 2;
    }
  }
}

/** Panel [k][8] of op(B) from columns, that is rows of a transposed B: out[l * 8 + j] = b[j, l]. */
function packTransposedPanel(out: usize, b: usize, stride: usize, columns: usize, k: usize): void {
  transposePlane(out, b, k, columns, stride, TILE_COLUMNS << 2);
}

/** C = beta C for an empty sum. */
function scale(m: usize, n: usize, beta: f32, c: usize, cRow: usize): void {
  if (beta != 0) return;
  for (; m; m--) {
    memory.fill(c, 0, n << 2);
    c += cRow;
  }
}

export function gemm(
  transA: i32, transB: i32, m: usize, n: usize, k: usize,
  a: usize, lda: usize, b: usize, ldb: usize, beta: f32, c: usize, ldc: usize, scratch: usize,
): void {
  const aStride = lda << 2;
  const bStride = ldb << 2;
  const cRow = ldc << 2;
  if (m == 0 || n == 0) return;
  if (k == 0) {
    scale(m, n, beta, c, cRow);
    return;
  }
  const blocks = (k + BLOCK_K - 1) / BLOCK_K;
  const blockK = (k + blocks - 1) / blocks;
  // Rows of B can be read in place; packing them pays when a panel is used often enough.
  const packB = transB || m >= 24;
  const panel = scratch;
  const packed = scratch + ((BLOCK_K * TILE_COLUMNS) << 2);
  let add = beta != 0;
  for (let l: usize = 0; l < k; l += blockK) {
    const size = min(blockK, k - l);
    const aPanel = (size * TILE_ROWS) << 2;
    for (let i0: usize = 0; i0 < m; i0 += BLOCK_ROWS) {
      const rows = min(BLOCK_ROWS, m - i0);
      const aBlock = transA ? a + l * aStride + (i0 << 2) : a + i0 * aStride + (l << 2);
      let out = packed;
      for (let i: usize = 0; i < rows; i += TILE_ROWS) {
        const tileRows = min(TILE_ROWS, rows - i);
        if (transA) packColumns(out, aBlock + (i << 2), aStride, tileRows, size);
        else packRows(out, aBlock + i * aStride, aStride, tileRows, size);
        out += aPanel;
      }
      for (let j: usize = 0; j < n; j += TILE_COLUMNS) {
        const columns = min(TILE_COLUMNS, n - j);
        let bPanel = transB ? b + j * bStride + (l << 2) : b + l * bStride + (j << 2);
        let bStep = bStride;
        if (packB || columns < TILE_COLUMNS) {
          if (transB) packTransposedPanel(panel, bPanel, bStride, columns, size);
          else packPanel(panel, bPanel, bStride, columns, size);
          bPanel = panel;
          bStep = TILE_COLUMNS << 2;
        }
        let cTile = c + i0 * cRow + (j << 2);
        let aTile = packed;
        for (let i: usize = 0; i < rows; i += TILE_ROWS) {
          tile(size, aTile, bPanel, bStep, cTile, cRow, add, min(TILE_ROWS, rows - i), columns);
          cTile += TILE_ROWS * cRow;
          aTile += aPanel;
        }
      }
    }
    add = true;
  }
}
