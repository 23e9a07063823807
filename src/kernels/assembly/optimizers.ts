/**
 * Fused passes of gradient descent, AdaGrad and RMSprop: src/optim has each rule with its paper.
 *
 * `keep` of the scalars multiplies the parameter (decoupled decay). It is used as p - (1 - keep) p: so near to 1 its own
 * rounding to f32 would be much of the decay.
 */
import { complement, gradient, pass, read, scalar, write } from './optimizer-pass';
import { madd, nmadd, splat } from './simd';

// ---- SGD: p = keep p - lr g
class Sgd {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, lr: v128, c4: v128, c5: v128, c6: v128, c7: v128, c8: v128, c9: v128,
    c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    write(p, n, nmadd(lr, d, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep. */
export function sgd(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Sgd>(
    p, g, 0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 1), none, none, none, none, none,
    none, none, none, none, none,
  );
}

// ---- momentum: buffer = momentum buffer + dampeningFactor g; p = keep p - bufferStep buffer (Nesterov: - gradStep g)
class Momentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, momentum: v128, dampeningFactor: v128, gradStep: v128, bufferStep: v128,
    c7: v128, c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const buffer = madd(momentum, read(s0, n), f32x4.mul(dampeningFactor, d));
    write(s0, n, buffer);
    write(p, n, nmadd(bufferStep, buffer, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, momentum, dampeningFactor, gradStep, bufferStep. */
export function momentum(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Momentum>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    scalar(s, 7), none, none, none, none, none, none, none,
  );
}

// ---- Nesterov
class Nesterov {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, momentum: v128, dampeningFactor: v128, gradStep: v128, bufferStep: v128,
    c7: v128, c8: v128, c9: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const buffer = madd(momentum, read(s0, n), f32x4.mul(dampeningFactor, d));
    write(s0, n, buffer);
    write(p, n, nmadd(gradStep, d, nmadd(bufferStep, buffer, nmadd(decay, param, param))));
  }
}

/** Scalars: as momentum. */
export function nesterov(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Nesterov>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    scalar(s, 7), none, none, none, none, none, none, none,
  );
}

// ---- AdaGrad: sum += g^2; p = keep p - clr g / (sqrt(sum + epsRoot) + eps)
class Adagrad {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, eps: v128, epsRoot: v128, clr: v128, c6: v128, c7: v128, c8: v128, c9: v128,
    c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const sum = madd(d, d, read(s0, n));
    write(s0, n, sum);
    const root = f32x4.add(f32x4.sqrt(f32x4.add(sum, epsRoot)), eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(clr, d), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, eps, epsRoot, clr. */
export function adagrad(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Adagrad>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), scalar(s, 5), scalar(s, 6),
    none, none, none, none, none, none, none, none,
  );
}

// ---- RMSprop: avg = alpha avg + (1 - alpha) g^2; p = keep p - inStep outStep g / (sqrt(avg + epsRoot) + eps)
class Rmsprop {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, alpha: v128, rest: v128, eps: v128, epsRoot: v128, momentum: v128,
    inStep: v128, outStep: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    write(s0, n, average);
    const root = f32x4.add(f32x4.sqrt(f32x4.add(average, epsRoot)), eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(f32x4.mul(inStep, outStep), d), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, alpha, eps, epsRoot, momentum, inStep, outStep. */
export function rmsprop(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Rmsprop>(
    p, g, s0, 0, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), complement(s, 4),
    scalar(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

// ---- with momentum: buffer = momentum buffer + inStep g / root; p = keep p - outStep buffer
class RmspropMomentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, alpha: v128, rest: v128, eps: v128, epsRoot: v128, momentum: v128,
    inStep: v128, outStep: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    write(s0, n, average);
    const root = f32x4.add(f32x4.sqrt(f32x4.add(average, epsRoot)), eps);
    const buffer = madd(momentum, read(s1, n), f32x4.div(f32x4.mul(inStep, d), root));
    write(s1, n, buffer);
    write(p, n, nmadd(outStep, buffer, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, alpha, eps, epsRoot, momentum, inStep, outStep. */
export function rmspropMomentum(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<RmspropMomentum>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), complement(s, 4),
    scalar(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

/** max(squareAvg - gradAvg^2, 0): rounding may take it below zero. */
// @ts-ignore: decorator
@inline
function variance(squareAverage: v128, gradAverage: v128): v128 {
  return f32x4.pmax(nmadd(gradAverage, gradAverage, squareAverage), splat(0));
}

// ---- centered: mean = alpha mean + (1 - alpha) g; variance = avg - mean^2 under the root
class RmspropCentered {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, alpha: v128, rest: v128, eps: v128, epsRoot: v128, momentum: v128,
    inStep: v128, outStep: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    write(s0, n, average);
    const mean = madd(alpha, read(s1, n), f32x4.mul(rest, d));
    write(s1, n, mean);
    const root = f32x4.add(f32x4.sqrt(f32x4.add(variance(average, mean), epsRoot)), eps);
    write(p, n, f32x4.sub(nmadd(decay, param, param), f32x4.div(f32x4.mul(f32x4.mul(inStep, outStep), d), root)));
  }
}

/** Scalars: gradScale, lr, l2, keep, alpha, eps, epsRoot, momentum, inStep, outStep. */
export function rmspropCentered(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<RmspropCentered>(
    p, g, s0, s1, 0, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), complement(s, 4),
    scalar(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}

// ---- centered, with momentum
class RmspropCenteredMomentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, s3: usize, n: usize,
    gradScale: v128, l2: v128, decay: v128, alpha: v128, rest: v128, eps: v128, epsRoot: v128, momentum: v128,
    inStep: v128, outStep: v128, c10: v128, c11: v128, c12: v128, c13: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, l2);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    write(s0, n, average);
    const mean = madd(alpha, read(s1, n), f32x4.mul(rest, d));
    write(s1, n, mean);
    const root = f32x4.add(f32x4.sqrt(f32x4.add(variance(average, mean), epsRoot)), eps);
    const buffer = madd(momentum, read(s2, n), f32x4.div(f32x4.mul(inStep, d), root));
    write(s2, n, buffer);
    write(p, n, nmadd(outStep, buffer, nmadd(decay, param, param)));
  }
}

/** Scalars: gradScale, lr, l2, keep, alpha, eps, epsRoot, momentum, inStep, outStep. */
export function rmspropCenteredMomentum(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<RmspropCenteredMomentum>(
    p, g, s0, s1, s2, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), complement(s, 4),
    scalar(s, 5), scalar(s, 6), scalar(s, 7), scalar(s, 8), scalar(s, 9), none, none, none, none,
  );
}
