/** Activations and their gradients as classes that `op` inlines: shared by the elementwise kernels and biasActivation. */
import {
  exp4, expm1Negative, gelu4, geluSlope4, sigmoid4, softplus4, tanh4,
} from './exp-log';
import { atLeast, atMost, constant, madd, nmadd, select, splat } from './simd';

/** 0, 1: 2 sqrt(2/pi) and 0.044715 times it. 2: three times 1. 3, 4: bounds of x in gradients. */
const ACTIVATION = memory.data<f32>([
  1.5957691216057308, 0.07135481627260025, 0.21406444881780075, 12.0, 110.0,
]);

export class Linear {
  @inline f(x: v128, alpha: v128): v128 {
    return x;
  }
}

/** NaN stays NaN. */
export class Relu {
  @inline f(x: v128, alpha: v128): v128 {
    return atLeast(x, splat(0));
  }
}

export class LeakyRelu {
  @inline f(x: v128, alpha: v128): v128 {
    return select(f32x4.gt(x, splat(0)), x, f32x4.mul(x, alpha));
  }
}

export class Elu {
  @inline f(x: v128, alpha: v128): v128 {
    return select(f32x4.gt(x, splat(0)), x, f32x4.mul(alpha, expm1Negative(x)));
  }
}

export class Tanh {
  @inline f(x: v128, alpha: v128): v128 {
    return tanh4(x);
  }
}

export class Sigmoid {
  @inline f(x: v128, alpha: v128): v128 {
    return sigmoid4(x);
  }
}

/** x Phi(x), Phi the normal distribution function = (1 + erf(x / sqrt 2)) / 2. */
export class Gelu {
  @inline f(x: v128, alpha: v128): v128 {
    return gelu4(x);
  }
}

/** sqrt(2 / pi) (x + 0.044715 x^3), doubled: 0.5 (1 + tanh u) = sigmoid(2 u). */
// @ts-ignore: decorator
@inline
function twiceInner(x: v128): v128 {
  return f32x4.mul(x, madd(f32x4.mul(x, x), constant(ACTIVATION, 1), constant(ACTIVATION, 0)));
}

export class GeluTanh {
  @inline f(x: v128, alpha: v128): v128 {
    return f32x4.mul(x, sigmoid4(twiceInner(x)));
  }
}

export class Silu {
  @inline f(x: v128, alpha: v128): v128 {
    return f32x4.mul(x, sigmoid4(x));
  }
}

export class Softplus {
  @inline f(x: v128, alpha: v128): v128 {
    return softplus4(x);
  }
}

export class ReluGrad {
  @inline f(y: v128, dy: v128, alpha: v128): v128 {
    return v128.and(dy, f32x4.gt(y, splat(0)));
  }
}

export class LeakyReluGrad {
  @inline f(y: v128, dy: v128, alpha: v128): v128 {
    return select(f32x4.gt(y, splat(0)), dy, f32x4.mul(dy, alpha));
  }
}

export class EluGrad {
  @inline f(y: v128, dy: v128, alpha: v128): v128 {
    return select(f32x4.gt(y, splat(0)), dy, f32x4.mul(dy, f32x4.add(y, alpha)));
  }
}

export class TanhGrad {
  @inline f(y: v128, dy: v128, alpha: v128): v128 {
    return f32x4.mul(dy, nmadd(y, y, splat(1.0)));
  }
}

export class SigmoidGrad {
  @inline f(y: v128, dy: v128, alpha: v128): v128 {
    return f32x4.mul(dy, f32x4.mul(y, f32x4.sub(splat(1.0), y)));
  }
}

/** Phi(x) + x phi(x) */
export class GeluGrad {
  @inline f(x: v128, dy: v128, alpha: v128): v128 {
    return f32x4.mul(dy, geluSlope4(x));
  }
}

/** s + x s (1 - s) w', s = sigmoid(w), w = twiceInner(x); |x| > 12 is as 12, which avoids infinity * 0. */
export class GeluTanhGrad {
  @inline f(x: v128, dy: v128, alpha: v128): v128 {
    const c = atLeast(atMost(x, constant(ACTIVATION, 3)), f32x4.neg(constant(ACTIVATION, 3)));
    const w = twiceInner(c);
    const slope = madd(f32x4.mul(c, c), constant(ACTIVATION, 2), constant(ACTIVATION, 0));
    const e = exp4(f32x4.neg(f32x4.abs(w)));
    const r = f32x4.div(splat(1.0), f32x4.add(splat(1.0), e));
    const s = f32x4.mul(select(f32x4.lt(w, splat(0)), e, splat(1.0)), r);
    const product = f32x4.mul(f32x4.mul(e, r), r);
    return f32x4.mul(dy, madd(f32x4.mul(c, product), slope, s));
  }
}

/** s + x s (1 - s), s (1 - s) = e / (1 + e)^2 with e = exp(-|x|) */
export class SiluGrad {
  @inline f(x: v128, dy: v128, alpha: v128): v128 {
    const c = atLeast(atMost(x, constant(ACTIVATION, 4)), f32x4.neg(constant(ACTIVATION, 4)));
    const e = exp4(f32x4.neg(f32x4.abs(c)));
    const r = f32x4.div(splat(1.0), f32x4.add(splat(1.0), e));
    const s = f32x4.mul(select(f32x4.lt(c, splat(0)), e, splat(1.0)), r);
    return f32x4.mul(dy, madd(f32x4.mul(f32x4.mul(e, r), r), c, s));
  }
}

export class SoftplusGrad {
  @inline f(x: v128, dy: v128, alpha: v128): v128 {
    return f32x4.mul(dy, sigmoid4(x));
  }
}
