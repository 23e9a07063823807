/**
 * Single-precision GEMM, C = op(A) op(B) + beta C. A register tile of 6 x 8 (twelve accumulators, two vectors of B and one
 * broadcast element of A fill the fifteen registers that V8 gives), op(A) and op(B) packed into panels that the tile reads
 * in order. Each element of C is summed over k in order, in blocks whose size depends on k alone: so a row of C has the
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
/** Longest block of k: a panel of B is then 12 KiB. */
// @ts-ignore: decorator
@inline
const BLOCK_K: usize = 400;
/** Rows of A that are packed at once: with BLOCK_K about 400 KiB, for the level-2 cache. */
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

/** 6 x 8 elements of C; rows beyond `rows` repeat the last one and are not written. */
function tile6(
  k: usize, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let a0 = a;
  let a1 = rows > 1 ? a0 + aRow : a0;
  let a2 = rows > 2 ? a1 + aRow : a1;
  let a3 = rows > 3 ? a2 + aRow : a2;
  let a4 = rows > 4 ? a3 + aRow : a3;
  let a5 = rows > 5 ? a4 + aRow : a4;
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
    let x = v128.load32_splat(a0);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    x = v128.load32_splat(a4);
    c40 = madd(x, b0, c40);
    c41 = madd(x, b1, c41);
    x = v128.load32_splat(a5);
    c50 = madd(x, b0, c50);
    c51 = madd(x, b1, c51);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
    a4 += aStep;
    a5 += aStep;
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

/** 4 x 8 elements of C; rows beyond `rows` repeat the last one and are not written. */
function tile4(
  k: usize, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let a0 = a;
  let a1 = rows > 1 ? a0 + aRow : a0;
  let a2 = rows > 2 ? a1 + aRow : a1;
  let a3 = rows > 3 ? a2 + aRow : a2;
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
    let x = v128.load32_splat(a0);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    x = v128.load32_splat(a2);
    c20 = madd(x, b0, c20);
    c21 = madd(x, b1, c21);
    x = v128.load32_splat(a3);
    c30 = madd(x, b0, c30);
    c31 = madd(x, b1, c31);
    a0 += aStep;
    a1 += aStep;
    a2 += aStep;
    a3 += aStep;
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

/** 2 x 8 elements of C; rows beyond `rows` repeat the last one and are not written. */
function tile2(
  k: usize, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  let a0 = a;
  let a1 = rows > 1 ? a0 + aRow : a0;
  let c00 = splat(0);
  let c01 = splat(0);
  let c10 = splat(0);
  let c11 = splat(0);
  for (; k; k--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    x = v128.load32_splat(a1);
    c10 = madd(x, b0, c10);
    c11 = madd(x, b1, c11);
    a0 += aStep;
    a1 += aStep;
    b += bStep;
  }
  storeRow(c, c00, c01, add, columns);
  c += cRow;
  if (rows == 1) return;
  storeRow(c, c10, c11, add, columns);
}

/** Chooses the lowest tile that holds `rows`. */
// @ts-ignore: decorator
@inline
function tile(
  k: usize, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, add: bool, rows: usize, columns: usize,
): void {
  if (rows > 4) tile6(k, a, aRow, aStep, b, bStep, c, cRow, add, rows, columns);
  else if (rows > 2) tile4(k, a, aRow, aStep, b, bStep, c, cRow, add, rows, columns);
  else tile2(k, a, aRow, aStep, b, bStep, c, cRow, add, rows, columns);
}

/** Panel [k][6] of op(A) from rows of A: out[l * 6 + i] = a[i, l]. */
function packRows(out: usize, a: usize, stride: usize, rows: usize, k: usize): void {
  transposePlane(out, a, k, rows, stride, TILE_ROWS << 2);
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
  // Packing pays when a panel is used often enough.
  const packA = n >= 64;
  const packB = m >= 24;
  const panel = scratch;
  const packed = scratch + (BLOCK_K * TILE_COLUMNS << 2);
  let add = beta != 0;
  for (let l: usize = 0; l < k; l += blockK) {
    const size = min(blockK, k - l);
    for (let i0: usize = 0; i0 < m; i0 += BLOCK_ROWS) {
      const rows = min(BLOCK_ROWS, m - i0);
      const aBlock = transA ? a + l * aStride + (i0 << 2) : a + i0 * aStride + (l << 2);
      const aRow = transA ? 4 : aStride;
      const aStep = transA ? aStride : 4;
      if (packA) {
        let out = packed;
        for (let i: usize = 0; i < rows; i += TILE_ROWS) {
          const tileRows = min(TILE_ROWS, rows - i);
          if (transA) packColumns(out, aBlock + i * aRow, aStride, tileRows, size);
          else packRows(out, aBlock + i * aRow, aStride, tileRows, size);
          out += size * TILE_ROWS << 2;
        }
      }
      for (let j: usize = 0; j < n; j += TILE_COLUMNS) {
        const columns = min(TILE_COLUMNS, n - j);
        let bPanel = transB ? b + j * bStride + (l << 2) : b + l * bStride + (j << 2);
        let bStep = bStride;
        if (packB || transB || columns < TILE_COLUMNS) {
          if (transB) packTransposedPanel(panel, bPanel, bStride, columns, size);
          else packPanel(panel, bPanel, bStride, columns, size);
          bPanel = panel;
          bStep = TILE_COLUMNS << 2;
        }
        let out = c + i0 * cRow + (j << 2);
        let packedTile = packed;
        for (let i: usize = 0; i < rows; i += TILE_ROWS) {
          const tileRows = min(TILE_ROWS, rows - i);
          if (packA) tile(size, packedTile, 4, TILE_ROWS << 2, bPanel, bStep, out, cRow, add, tileRows, columns);
          else tile(size, aBlock + i * aRow, aRow, aStep, bPanel, bStep, out, cRow, add, tileRows, columns);
          out += TILE_ROWS * cRow;
          packedTile += size * TILE_ROWS << 2;
        }
      }
    }
    add = true;
  }
}
