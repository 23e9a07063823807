/**
 * Fused optimizer passes, in place on parameter and slots: src/optim has each rule with its paper. Scalars are f64 in memory,
 * in the order that src/optim writes; differences such as 1 - beta are taken in f64, then all is f32.
 */
import { loadTail, madd, nmadd, op, splat, storeTail } from './simd';

// @ts-ignore: decorator
@inline
function scalar(scalars: usize, index: usize): v128 {
  return splat(<f32>load<f64>(scalars + (index << 3)));
}

/** 1 - scalar */
// @ts-ignore: decorator
@inline
function complement(scalars: usize, index: usize): v128 {
  return splat(<f32>(1.0 - load<f64>(scalars + (index << 3))));
}

// Each rule is written once, over the addresses of four elements; the drivers below give it whole vectors, then a tail.

/** Addresses of a vector of each operand; n = 4 or the length of the tail. */
// @ts-ignore: decorator
@inline
function read(p: usize, n: usize): v128 {
  return n == 4 ? v128.load(p) : loadTail(p, n, splat(0));
}

// @ts-ignore: decorator
@inline
function write(p: usize, n: usize, v: v128): void {
  if (n == 4) v128.store(p, v);
  else storeTail(p, n, v);
}

/** gradScale * grad + weightDecay * param */
// @ts-ignore: decorator
@inline
function gradient(grad: v128, param: v128, gradScale: v128, weightDecay: v128): v128 {
  return madd(weightDecay, param, f32x4.mul(gradScale, grad));
}

// ---- SGD: p -= lr g
class Sgd {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128,
  ): void {
    const param = read(p, n);
    write(p, n, nmadd(lr, gradient(read(g, n), param, gradScale, weightDecay), param));
  }
}

// ---- momentum: buf = momentum buf + dampeningFactor g; p -= lr buf, or (Nesterov) p -= lr (g + momentum buf)
class Momentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, momentum: v128, dampeningFactor: v128, c5: v128, c6: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const buffer = madd(momentum, read(s0, n), f32x4.mul(dampeningFactor, d));
    write(s0, n, buffer);
    write(p, n, nmadd(lr, buffer, param));
  }
}

class Nesterov {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, momentum: v128, dampeningFactor: v128, c5: v128, c6: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const buffer = madd(momentum, read(s0, n), f32x4.mul(dampeningFactor, d));
    write(s0, n, buffer);
    write(p, n, nmadd(lr, madd(momentum, buffer, d), param));
  }
}

// ---- AdaGrad: sum += g^2; p -= clr g / (sqrt(sum) + eps)
class Adagrad {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, eps: v128, clr: v128, c5: v128, c6: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const sum = madd(d, d, read(s0, n));
    write(s0, n, sum);
    write(p, n, f32x4.sub(param, f32x4.div(f32x4.mul(clr, d), f32x4.add(f32x4.sqrt(sum), eps))));
  }
}

// ---- RMSprop: avg = alpha avg + (1 - alpha) g^2; step = g / (sqrt(avg) + eps)
class Rmsprop {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, alpha: v128, rest: v128, eps: v128, momentum: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    write(s0, n, average);
    write(p, n, f32x4.sub(param, f32x4.div(f32x4.mul(lr, d), f32x4.add(f32x4.sqrt(average), eps))));
  }
}

class RmspropMomentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, alpha: v128, rest: v128, eps: v128, momentum: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    const buffer = madd(momentum, read(s1, n), f32x4.div(d, f32x4.add(f32x4.sqrt(average), eps)));
    write(s0, n, average);
    write(s1, n, buffer);
    write(p, n, nmadd(lr, buffer, param));
  }
}

/** max(squareAvg - gradAvg^2, 0): rounding may take it below zero. */
// @ts-ignore: decorator
@inline
function variance(squareAverage: v128, gradAverage: v128): v128 {
  return f32x4.pmax(nmadd(gradAverage, gradAverage, squareAverage), splat(0));
}

class RmspropCentered {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, alpha: v128, rest: v128, eps: v128, momentum: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    const mean = madd(alpha, read(s1, n), f32x4.mul(rest, d));
    const root = f32x4.add(f32x4.sqrt(variance(average, mean)), eps);
    write(s0, n, average);
    write(s1, n, mean);
    write(p, n, f32x4.sub(param, f32x4.div(f32x4.mul(lr, d), root)));
  }
}

class RmspropCenteredMomentum {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, lr: v128, weightDecay: v128, alpha: v128, rest: v128, eps: v128, momentum: v128, c7: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, weightDecay);
    const average = madd(alpha, read(s0, n), f32x4.mul(f32x4.mul(rest, d), d));
    const mean = madd(alpha, read(s1, n), f32x4.mul(rest, d));
    const root = f32x4.add(f32x4.sqrt(variance(average, mean)), eps);
    const buffer = madd(momentum, read(s2, n), f32x4.div(d, root));
    write(s0, n, average);
    write(s1, n, mean);
    write(s2, n, buffer);
    write(p, n, nmadd(lr, buffer, param));
  }
}

// ---- Adam: m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g^2; p -= stepSize m / (sqrt(v) invSqrtBias2 + eps)
// @ts-ignore: decorator
@inline
function adamStep(
  p: usize, s0: usize, s1: usize, n: usize, param: v128, d: v128,
  rest1: v128, beta2: v128, rest2: v128, eps: v128, stepSize: v128, invSqrtBias2: v128,
): void {
  const m = read(s0, n);
  const mean = madd(rest1, f32x4.sub(d, m), m);
  const square = madd(beta2, read(s1, n), f32x4.mul(f32x4.mul(rest2, d), d));
  write(s0, n, mean);
  write(s1, n, square);
  const root = madd(f32x4.sqrt(square), invSqrtBias2, eps);
  write(p, n, f32x4.sub(param, f32x4.div(f32x4.mul(stepSize, mean), root)));
}

class Adam {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, stepSize: v128, invSqrtBias2: v128,
  ): void {
    const param = read(p, n);
    const d = gradient(read(g, n), param, gradScale, decay);
    adamStep(p, s0, s1, n, param, d, rest1, beta2, rest2, eps, stepSize, invSqrtBias2);
  }
}

/** Decay is decoupled: `decay` is lr weightDecay, and the parameter loses that share of itself first. */
class Adamw {
  @inline step(
    p: usize, g: usize, s0: usize, s1: usize, s2: usize, n: usize,
    gradScale: v128, decay: v128, rest1: v128, beta2: v128, rest2: v128, eps: v128, stepSize: v128, invSqrtBias2: v128,
  ): void {
    const before = read(p, n);
    const param = nmadd(decay, before, before);
    const d = f32x4.mul(read(g, n), gradScale);
    adamStep(p, s0, s1, n, param, d, rest1, beta2, rest2, eps, stepSize, invSqrtBias2);
  }
}

// @ts-ignore: decorator
@inline
function pass<F>(
  p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize,
  c0: v128, c1: v128, c2: v128, c3: v128, c4: v128, c5: v128, c6: v128, c7: v128,
): void {
  const wide = p + ((count & ~7) << 2);
  while (p < wide) {
    op<F>().step(p, g, s0, s1, s2, 4, c0, c1, c2, c3, c4, c5, c6, c7);
    op<F>().step(p + 16, g + 16, s0 + 16, s1 + 16, s2 + 16, 4, c0, c1, c2, c3, c4, c5, c6, c7);
    p += 32;
    g += 32;
    s0 += 32;
    s1 += 32;
    s2 += 32;
  }
  if (count & 4) {
    op<F>().step(p, g, s0, s1, s2, 4, c0, c1, c2, c3, c4, c5, c6, c7);
    p += 16;
    g += 16;
    s0 += 16;
    s1 += 16;
    s2 += 16;
  }
  const rest = count & 3;
  if (rest) op<F>().step(p, g, s0, s1, s2, rest, c0, c1, c2, c3, c4, c5, c6, c7);
}

/** Scalars: gradScale, lr, weightDecay. */
export function sgd(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<Sgd>(p, g, 0, 0, 0, count, scalar(s, 0), scalar(s, 1), scalar(s, 2), none, none, none, none, none);
}

// @ts-ignore: decorator
@inline
function momentumPass<F>(p: usize, g: usize, s0: usize, count: usize, s: usize): void {
  const none = splat(0);
  pass<F>(
    p, g, s0, 0, 0, count, scalar(s, 0), scalar(s, 1), scalar(s, 2), scalar(s, 3), scalar(s, 4), none, none, none,
  );
}

/** Scalars: gradScale, lr, weightDecay, momentum, dampeningFactor. */
export function momentum(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  momentumPass<Momentum>(p, g, s0, count, s);
}

export function nesterov(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  momentumPass<Nesterov>(p, g, s0, count, s);
}

/** Scalars: gradScale, lr, weightDecay, eps, clr. */
export function adagrad(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  momentumPass<Adagrad>(p, g, s0, count, s);
}

// @ts-ignore: decorator
@inline
function rmspropPass<F>(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  pass<F>(
    p, g, s0, s1, s2, count, scalar(s, 0), scalar(s, 1), scalar(s, 2), scalar(s, 3), complement(s, 3), scalar(s, 4),
    scalar(s, 5), splat(0),
  );
}

/** Scalars: gradScale, lr, weightDecay, alpha, eps, momentum. */
export function rmsprop(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  rmspropPass<Rmsprop>(p, g, s0, 0, 0, count, s);
}

export function rmspropMomentum(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  rmspropPass<RmspropMomentum>(p, g, s0, s1, 0, count, s);
}

export function rmspropCentered(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  rmspropPass<RmspropCentered>(p, g, s0, s1, 0, count, s);
}

export function rmspropCenteredMomentum(
  p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize,
): void {
  rmspropPass<RmspropCenteredMomentum>(p, g, s0, s1, s2, count, s);
}

/** Scalars: gradScale, lr, weightDecay, beta1, beta2, eps, stepSize, invSqrtBias2. */
export function adam(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  pass<Adam>(
    p, g, s0, s1, 0, count, scalar(s, 0), scalar(s, 2), complement(s, 3), scalar(s, 4), complement(s, 4), scalar(s, 5),
    scalar(s, 6), scalar(s, 7),
  );
}

export function adamw(p: usize, g: usize, s0: usize, s1: usize, s2: usize, count: usize, s: usize): void {
  const decay = splat(<f32>(load<f64>(s, 8) * load<f64>(s, 16)));
  pass<Adamw>(
    p, g, s0, s1, 0, count, scalar(s, 0), decay, complement(s, 3), scalar(s, 4), complement(s, 4), scalar(s, 5),
    scalar(s, 6), scalar(s, 7),
  );
}
