/**
 * Fused passes of the other elementwise optimizers: src/optim has each rule with its paper.
 */
import { complement, gradient, pass, read, scalar, sign, write } from './optimizer-pass';
import { madd, nmadd, splat } from './simd';

// ---- Adadelta: step = sqrt(delta + eps) / sqrt(avg + eps) g; delta = rho delta + (1 - rho) step^2
class Adadelta {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, lr: v128, rho: v128, rest: v128, eps: v128, c7: v128, c8: v128, c9: v128,
    c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const average = madd(rho, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    const delta = read(s1, n);
    const ratio = f32x4.div(f32x4.sqrt(f32x4.add(delta, eps)), f32x4.sqrt(f32x4.add(average, eps)));
    const step = f32x4.mul(ratio, d);
    write(s0, n, average);
    write(s1, n, madd(rho, delta, f32x4.mul(f32x4.mul(rest, step), step)));
    write(p, n, nmadd(lr, step, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, rho, eps. */
export function adadelta(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adadelta>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 1), scalar(s, 4),
    complement(s, 4), scalar(s, 5), none, none, none, none, none, none, none,
  );
}

// ---- Lion: p = keep p - lr sign(beta1 m + (1 - beta1) g); m = beta2 m + (1 - beta2) g
class Lion {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, lr: v128, rest1: v128, rest2: v128, c6: v128, c7: v128, c8: v128, c9: v128,
    c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const change = f32x4.sub(d, m);
    write(s0, n, madd(rest2, change, m));
    write(p, n, nmadd(lr, sign(madd(rest1, change, m)), nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2. */
export function lion(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Lion>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 1), complement(s, 4),
    complement(s, 5), none, none, none, none, none, none, none, none,
  );
}

// ---- ASGD: p = keep p - eta g; average += mu (p - average)
class Asgd {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, eta: v128, mu: v128, c5: v128, c6: v128, c7: v128, c8: v128, c9: v128,
    c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const next = nmadd(eta, d, nmadd(decay, param, param));
    const average = read(s0, n);
    write(p, n, next);
    write(s0, n, madd(mu, f32x4.sub(next, average), average));
  }
}

/** Scalars: gradScale, lr, l2, keep, eta, mu. */
export function asgd(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Asgd>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), none, none,
    none, none, none, none, none, none, none,
  );
}

// ---- Rprop: size grows where the sign of g stays and shrinks where it changes (there g counts as 0); slots g before, size
class Rprop {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, etaMinus: v128, etaPlus: v128, smallest: v128, largest: v128,
    sizeKeep: v128, sizeStart: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const agreement = f32x4.mul(d, read(s0, n));
    const same = f32x4.gt(agreement, splat(0));
    const turned = f32x4.lt(agreement, splat(0));
    const factor = v128.bitselect(etaPlus, v128.bitselect(etaMinus, splat(1), turned), same);
    const grown = f32x4.mul(madd(sizeKeep, read(s1, n), sizeStart), factor);
    const size = f32x4.pmin(f32x4.pmax(grown, smallest), largest);
    const kept = v128.andnot(d, turned);
    write(s0, n, kept);
    write(s1, n, size);
    write(p, n, nmadd(size, sign(kept), nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, etaMinus, etaPlus, minStep, maxStep, sizeKeep, sizeStart. */
export function rprop(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Rprop>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none, none,
  );
}

// ---- Sophia: h = hKeep h + hNew g^2; p = keep p - lr clamp(m / (rho h + eps), -1, 1)
class Sophia {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, lr: v128, rest1: v128, hKeep: v128, hNew: v128, rho: v128, eps: v128,
    c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const h = madd(hKeep, read(s1, n), f32x4.mul(f32x4.mul(hNew, d), d));
    write(s1, n, h);
    const ratio = f32x4.div(mean, madd(rho, h, eps));
    const step = f32x4.pmax(f32x4.pmin(ratio, splat(1)), splat(-1));
    write(p, n, nmadd(lr, step, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, hKeep, hNew, rho, eps. */
export function sophia(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Sophia>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 1), complement(s, 4),
    scalar(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), none, none, none, none, none,
  );
}

// ---- Schedule-Free SGD: y += average (z - y) + yStep g; z -= lr g
class ScheduleFreeSgd {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, lr: v128, average: v128, yStep: v128, c6: v128, c7: v128, c8: v128,
    c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const z = read(s0, n);
    write(p, n, madd(yStep, d, madd(average, f32x4.sub(z, param), param)));
    write(s0, n, nmadd(lr, d, z));
  }
}

/** Scalars: gradScale, lr, l2, keep, average, yStep. */
export function scheduleFreeSgd(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<ScheduleFreeSgd>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 1), scalar(s, 4), scalar(s, 5),
    none, none, none, none, none, none, none, none,
  );
}

// ---- Schedule-Free AdamW: the same with g / (sqrt(v) invSqrtBias2 + eps) + decay y for g
class ScheduleFreeAdamw {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, lr: v128, l2: v128, average: v128, yStep: v128, beta2: v128, rest2: v128, eps: v128,
    invSqrtBias2: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = f32x4.mul(read(g, n), gradScale);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const direction = madd(l2, param, f32x4.div(d, madd(f32x4.sqrt(square), invSqrtBias2, eps)));
    const z = read(s0, n);
    write(p, n, madd(yStep, direction, madd(average, f32x4.sub(z, param), param)));
    write(s0, n, nmadd(lr, direction, z));
  }
}

/** Scalars: gradScale, lr, l2, keep, average, yStep, beta2, eps, invSqrtBias2. */
export function scheduleFreeAdamw(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<ScheduleFreeAdamw>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 1), scalar(s, 2), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    complement(s, 6), scalar(s, 7), scalar(s, 8), none, none, none, none, none,
  );
}
