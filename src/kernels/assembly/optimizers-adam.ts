/**
 * Fused passes of Adam and its relatives: src/optim has each rule with its paper.
 */
import { complement, gradient, pass, read, scalar, sign, write } from './optimizer-pass';
import { madd, nmadd, splat } from './simd';

// ---- Adam: m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p = keep p - stepSize m / (sqrt(v + epsRoot) invSqrtBias2 + eps)
class Adam {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, epsRoot: v128,
    stepSize: v128, invSqrtBias2: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const root = madd(f32x4.sqrt(f32x4.add(square, epsRoot)), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, epsRoot, stepSize, invSqrtBias2. */
export function adam(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adam>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

// ---- AdamW without epsRoot: the decoupled decay only
class Adamw {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, stepSize: v128, invSqrtBias2: v128,
    c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = f32x4.mul(read(g, n), gradScale);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: as adam. */
export function adamw(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adamw>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), complement(s, 3), complement(s, 4), scalar(s, 5), complement(s, 5),
    scalar(s, 6), scalar(s, 8), scalar(s, 9), none, none, none, none, none, none,
  );
}

// ---- AMSGrad: the largest v so far
class Amsgrad {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, epsRoot: v128,
    stepSize: v128, invSqrtBias2: v128, maxScale: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const largest = f32x4.pmax(read(s2, n), f32x4.mul(maxScale, square));
    write(s2, n, largest);
    const root = madd(f32x4.sqrt(f32x4.add(largest, epsRoot)), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: as adam, maxScale. */
export function amsgrad(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Amsgrad>(
    p, g, s0, s1, s2, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), scalar(s, 10), none, none, none,
  );
}

// ---- Adamax: u = max(beta2 u, |g| + epsMax); p = keep p - stepSize m / (u + eps)
class Adamax {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, eps: v128, epsMax: v128, stepSize: v128, c8: v128,
    c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const largest = f32x4.pmax(f32x4.mul(beta2, read(s1, n)), f32x4.add(f32x4.abs(d), epsMax));
    write(s1, n, largest);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), f32x4.add(largest, eps))));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, epsMax, stepSize. */
export function adamax(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adamax>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    scalar(s, 6), scalar(s, 7), scalar(s, 8), none, none, none, none, none, none,
  );
}

// ---- NAdam: p = keep p - (gradStep g + meanStep m) / (sqrt(v) invSqrtBias2 + eps)
class Nadam {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, gradStep: v128,
    meanStep: v128, invSqrtBias2: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const direction = madd(gradStep, d, f32x4.mul(meanStep, mean));
    const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(direction, root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, gradStep, meanStep, invSqrtBias2. */
export function nadam(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Nadam>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

// ---- RAdam: p = keep p - adaptiveStep m / (sqrt(v) + eps) - plainStep m
class Radam {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, adaptiveStep: v128,
    plainStep: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const adaptive = f32x4.div(f32x4.mul(adaptiveStep, mean), f32x4.add(f32x4.sqrt(square), eps));
    write(p, n, f32x4.sub(nmadd(plainStep, mean, nmadd(decay, param, param)), adaptive));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, adaptiveStep, plainStep. */
export function radam(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Radam>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), none, none, none, none, none,
  );
}

// ---- AdaBelief: s = beta2 s + (1 - beta2) (g - m)^2 + epsSum; the step of Adam
class Adabelief {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, epsSum: v128,
    stepSize: v128, invSqrtBias2: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const surprise = f32x4.sub(d, mean);
    const square = f32x4.add(madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, surprise), surprise)), epsSum);
    write(s1, n, square);
    const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, epsSum, stepSize, invSqrtBias2. */
export function adabelief(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adabelief>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

// ---- Yogi: v -= (1 - beta2) sign(v - g^2) g^2; the step of Adam
class Yogi {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, rest2: v128, eps: v128, stepSize: v128, invSqrtBias2: v128,
    c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const v = read(s1, n);
    const dd = f32x4.mul(d, d);
    const square = nmadd(f32x4.mul(rest2, sign(f32x4.sub(v, dd))), dd, v);
    write(s1, n, square);
    const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, stepSize, invSqrtBias2. */
export function yogi(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Yogi>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), complement(s, 5),
    scalar(s, 6), scalar(s, 7), scalar(s, 8), none, none, none, none, none, none,
  );
}

// ---- Adan: mean m of g, mean d of its changes, mean square n of g + beta2 change; slots m, d, n, g before
class Adan {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, beta3: v128, rest3: v128, eps: v128,
    meanStep: v128, diffStep: v128, invSqrtBias3: v128, diffOn: v128, shrink: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const change = f32x4.mul(diffOn, f32x4.sub(d, read(s3, n)));
    const before = read(s1, n);
    const drift = madd(rest2, f32x4.sub(change, before), before);
    const ahead = madd(beta2, change, d);
    const square = madd(beta3, read(s2, n), f32x4.mul(f32x4.mul(rest3, ahead), ahead));
    write(s1, n, drift);
    write(s2, n, square);
    write(s3, n, d);
    const root = madd(f32x4.sqrt(square), invSqrtBias3, eps);
    const direction = madd(meanStep, mean, f32x4.mul(diffStep, drift));
    const moved = f32x4.sub(nmadd(decay, param, param), f32x4.div(direction, root));
    write(p, n, nmadd(shrink, moved, moved));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, beta3, eps, meanStep, diffStep, invSqrtBias3, diffOn, shrink. */
export function adan(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize, s3: usize): void {

  pass<Adan>(
    p, g, s0, s1, s2, s3, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), complement(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), scalar(s, 10),
    scalar(s, 11), complement(s, 12),
  );
}

// ---- Prodigy: Adam on d g; signed = keepSigned signed + gainSigned g is its estimate of the distance; slots m, v, signed, start (only read by measure)
class Prodigy {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, beta1: v128, gain1: v128, beta2: v128, gain2: v128, eps: v128,
    stepSize: v128, keepSigned: v128, gainSigned: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const mean = madd(beta1, read(s0, n), f32x4.mul(gain1, d));
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(gain2, d), d));
    write(s0, n, mean);
    write(s1, n, square);
    write(s2, n, madd(keepSigned, read(s2, n), f32x4.mul(gainSigned, d)));
    const root = f32x4.add(f32x4.sqrt(square), eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(stepSize, mean), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, gain1, beta2, gain2, eps, stepSize, keepSigned, gainSigned. */
export function prodigy(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Prodigy>(
    p, g, s0, s1, s2, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    scalar(s, 7), scalar(s, 8), scalar(s, 9), scalar(s, 10), scalar(s, 11), none, none, none,
  );
}

// ---- SWATS: Adam with adamStep, or momentum with sgdStep; the step of the other phase is 0
class Swats {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, adamStep: v128,
    invSqrtBias2: v128, bufferKeep: v128, bufferGain: v128, sgdStep: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const m = read(s0, n);
    const mean = madd(rest1, f32x4.sub(d, m), m);
    write(s0, n, mean);
    const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
    write(s1, n, square);
    const buffer = madd(bufferKeep, read(s2, n), f32x4.mul(bufferGain, d));
    write(s2, n, buffer);
    const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
    const adaptive = f32x4.div(f32x4.mul(adamStep, mean), root);
    write(p, n, f32x4.sub(nmadd(sgdStep, buffer, nmadd(decay, param, param)), adaptive));
  }
}

/** Scalars: gradScale, lr, l2, keep, beta1, beta2, eps, adamStep, invSqrtBias2, bufferKeep, bufferGain, sgdStep. */
export function swats(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Swats>(
    p, g, s0, s1, s2, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), complement(s, 4), scalar(s, 5),
    complement(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), scalar(s, 10), scalar(s, 11), none, none,
  );
}
