/**
 * The rules of the optimizers that PyTorch 1.13 does not have (or has wrong), written down from their papers in f64, one tensor
 * and one update at a time, without anything of src/optim: the oracles of papers.test.ts.
 */
export interface Paper {
  /** The parameters before the update, replaced in place. */
  update(p: number[], g: readonly number[], t: number): void;
}

type Options = Readonly<Record<string, number>>;
const zeros = (n: number) => new Array<number>(n).fill(0);
const norm = (v: readonly number[]) => Math.sqrt(v.reduce((s, x) => s + x * x, 0));
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((s, x, i) => s + x * b[i], 0);

export const papers = {
  /** Dozat 2016, in the form of PyTorch's documentation. */
  nadam(n: number, { lr, b1, b2, eps, psi, l2 = 0, decay = 0 }: Options): Paper {
    const [m, v] = [zeros(n), zeros(n)];
    const mus: number[] = [];
    const mu = (t: number) => b1 * (1 - 0.5 * 0.96 ** (t * psi));
    return {
      update(p, g0, t) {
        mus.push(mu(t));
        const product = mus.reduce((a, b) => a * b, 1);
        for (let i = 0; i < n; i++) {
          p[i] -= lr * decay * p[i];
          const g = g0[i] + l2 * p[i];
          m[i] = b1 * m[i] + (1 - b1) * g;
          v[i] = b2 * v[i] + (1 - b2) * g * g;
          const hat = (mu(t + 1) * m[i]) / (1 - product * mu(t + 1)) + ((1 - mu(t)) * g) / (1 - product);
          p[i] -= (lr * hat) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps);
        }
      },
    };
  },
  /** Dozat's rule with a constant momentum, as optax writes it: nesterov=True of scale_by_adam. */
  nadamConstant(n: number, { lr, b1, b2, eps }: Options): Paper {
    const [m, v] = [zeros(n), zeros(n)];
    return {
      update(p, g, t) {
        for (let i = 0; i < n; i++) {
          m[i] = b1 * m[i] + (1 - b1) * g[i];
          v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2;
          const hat = (b1 * m[i]) / (1 - b1 ** (t + 1)) + ((1 - b1) * g[i]) / (1 - b1 ** t);
          p[i] -= (lr * hat) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps);
        }
      },
    };
  },
  /** Chen et al. 2023, algorithm 2. */
  lion(n: number, { lr, b1, b2, decay }: Options): Paper {
    const m = zeros(n);
    return {
      update(p, g) {
        for (let i = 0; i < n; i++) {
          const c = b1 * m[i] + (1 - b1) * g[i];
          m[i] = b2 * m[i] + (1 - b2) * g[i];
          p[i] -= lr * (Math.sign(c) + decay * p[i]);
        }
      },
    };
  },
  /** Zhuang et al. 2020, algorithm 2 with eps as in their code. */
  adabelief(n: number, { lr, b1, b2, eps, decay }: Options): Paper {
    const [m, s] = [zeros(n), zeros(n)];
    return {
      update(p, g, t) {
        for (let i = 0; i < n; i++) {
          p[i] *= 1 - lr * decay;
          m[i] = b1 * m[i] + (1 - b1) * g[i];
          s[i] = b2 * s[i] + (1 - b2) * (g[i] - m[i]) ** 2 + eps;
          p[i] -= (lr * (m[i] / (1 - b1 ** t))) / (Math.sqrt(s[i] / (1 - b2 ** t)) + eps);
        }
      },
    };
  },
  /** Zaheer et al. 2018, algorithm 2, with Adam's bias corrections. */
  yogi(n: number, { lr, b1, b2, eps, start }: Options): Paper {
    const [m, v] = [zeros(n), zeros(n).fill(start)];
    return {
      update(p, g, t) {
        for (let i = 0; i < n; i++) {
          const square = g[i] ** 2;
          m[i] = b1 * m[i] + (1 - b1) * g[i];
          v[i] = v[i] - (1 - b2) * Math.sign(v[i] - square) * square;
          p[i] -= (lr * (m[i] / (1 - b1 ** t))) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps);
        }
      },
    };
  },
  /** Xie et al. 2022: algorithm 1 with the signs and bias corrections of the authors' code. */
  adan(n: number, { lr, b1, b2, b3, eps, decay, proximal }: Options): Paper {
    const [m, d, v] = [zeros(n), zeros(n), zeros(n)];
    let before: readonly number[] | undefined;
    return {
      update(p, g, t) {
        for (let i = 0; i < n; i++) {
          const difference = before === undefined ? 0 : g[i] - before[i];
          m[i] = b1 * m[i] + (1 - b1) * g[i];
          d[i] = b2 * d[i] + (1 - b2) * difference;
          v[i] = b3 * v[i] + (1 - b3) * (g[i] + b2 * difference) ** 2;
          const root = Math.sqrt(v[i]) / Math.sqrt(1 - b3 ** t) + eps;
          const step = (lr / (1 - b1 ** t)) * (m[i] / root) + ((lr * b2) / (1 - b2 ** t)) * (d[i] / root);
          p[i] = proximal ? (p[i] - step) / (1 + lr * decay) : p[i] * (1 - lr * decay) - step;
        }
        before = g;
      },
    };
  },
  /** Liu et al. 2023, algorithm 3 with g * g of the batch itself as estimate. */
  sophia(n: number, { lr, b1, b2, rho, decay, interval }: Options): Paper {
    const [m, h] = [zeros(n), zeros(n)];
    return {
      update(p, g, t) {
        for (let i = 0; i < n; i++) {
          m[i] = b1 * m[i] + (1 - b1) * g[i];
          if (t % interval === 1) h[i] = b2 * h[i] + (1 - b2) * g[i] * g[i];
          p[i] -= lr * decay * p[i];
          const ratio = m[i] / Math.max(rho * h[i], 1e-15);
          p[i] -= lr * Math.min(Math.max(ratio, -1), 1);
        }
      },
    };
  },
  /** Defazio et al. 2024, equations (6)-(8) with the three sequences kept apart. */
  scheduleFree(n: number, { lr, beta, decay, adam = 0, b2 = 0, eps = 0 }: Options): Paper & { average(): number[] } {
    let [x, z]: [number[] | undefined, number[]] = [undefined, []];
    const v = zeros(n);
    let weights = 0;
    return {
      update(p, g, t) {
        if (x === undefined) [x, z] = [[...p], [...p]];
        weights += lr * lr;
        const c = (lr * lr) / weights;
        for (let i = 0; i < n; i++) {
          v[i] = b2 * v[i] + (1 - b2) * g[i] ** 2;
          const direction = adam ? g[i] / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps) : g[i];
          z[i] -= lr * (direction + decay * p[i]);
          x[i] = (1 - c) * x[i] + c * z[i];
          p[i] = (1 - beta) * z[i] + beta * x[i];
        }
      },
      average: () => x ?? [],
    };
  },
  /** Mishchenko & Defazio 2023, algorithm 4. */
  prodigy(n: number, { b1, b2, eps, d0, corrected = 0 }: Options): Paper {
    const [m, v, s] = [zeros(n), zeros(n), zeros(n)];
    let start: number[] | undefined;
    let [d, r] = [d0, 0];
    return {
      update(p, g, t) {
        start ??= [...p];
        const root = Math.sqrt(b2);
        const way = start.map((x, i) => x - p[i]);
        const dlr = d * (corrected ? Math.sqrt(1 - b2 ** t) / (1 - b1 ** t) : 1); // as the authors' code names it
        r = root * r + (1 - root) * d * dlr * dot(g, way);
        for (let i = 0; i < n; i++) {
          m[i] = b1 * m[i] + (1 - b1) * d * g[i];
          v[i] = b2 * v[i] + (1 - b2) * d * d * g[i] ** 2;
          s[i] = root * s[i] + (1 - root) * d * dlr * g[i];
          p[i] -= (dlr * m[i]) / (Math.sqrt(v[i]) + d * eps);
        }
        d = Math.max(d, r / s.reduce((sum, x) => sum + Math.abs(x), 0));
      },
    };
  },
  /** Keskar & Socher 2017, algorithm 1. */
  swats(n: number, { lr, b1, b2, eps, tolerance }: Options): Paper & { switched(): boolean } {
    const [m, v, b] = [zeros(n), zeros(n), zeros(n)];
    let [lambda, rate] = [0, 0];
    return {
      update(p, g, t) {
        if (rate > 0) {
          for (let i = 0; i < n; i++) {
            b[i] = b1 * b[i] + g[i];
            p[i] -= (1 - b1) * rate * b[i];
          }
          return;
        }
        const u = g.map((x, i) => {
          m[i] = b1 * m[i] + (1 - b1) * x;
          v[i] = b2 * v[i] + (1 - b2) * x * x;
          return (-lr * (m[i] / (1 - b1 ** t))) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps);
        });
        u.forEach((x, i) => {
          p[i] += x;
        });
        const product = dot(u, g);
        if (product >= 0) return;
        const gamma = dot(u, u) / -product;
        lambda = b2 * lambda + (1 - b2) * gamma;
        if (t > 1 && Math.abs(lambda / (1 - b2 ** t) - gamma) < tolerance) rate = lambda / (1 - b2 ** t);
      },
      switched: () => rate > 0,
    };
  },
  /** You et al. 2019, algorithm 2. */
  lamb(n: number, { lr, b1, b2, eps, decay }: Options): Paper {
    const [m, v] = [zeros(n), zeros(n)];
    return {
      update(p, g, t) {
        const u = g.map((x, i) => {
          m[i] = b1 * m[i] + (1 - b1) * x;
          v[i] = b2 * v[i] + (1 - b2) * x * x;
          return m[i] / (1 - b1 ** t) / (Math.sqrt(v[i] / (1 - b2 ** t)) + eps) + decay * p[i];
        });
        const ratio = norm(p) / norm(u);
        for (let i = 0; i < n; i++) p[i] -= lr * ratio * u[i];
      },
    };
  },
  /** You et al. 2017, algorithm 1. */
  lars(n: number, { lr, momentum, trust, decay }: Options): Paper {
    const v = zeros(n);
    return {
      update(p, g) {
        const local = (trust * norm(p)) / (norm(g) + decay * norm(p));
        for (let i = 0; i < n; i++) {
          v[i] = momentum * v[i] + lr * local * (g[i] + decay * p[i]);
          p[i] -= v[i];
        }
      },
    };
  },
  /** Ginsburg et al. 2019, algorithm 1. */
  novograd(n: number, { lr, b1, b2, eps, decay }: Options): Paper {
    const m = zeros(n);
    let v = 0;
    return {
      update(p, g, t) {
        v = t === 1 ? norm(g) ** 2 : b2 * v + (1 - b2) * norm(g) ** 2;
        for (let i = 0; i < n; i++) {
          const added = g[i] / (Math.sqrt(v) + eps) + decay * p[i];
          m[i] = t === 1 ? added : b1 * m[i] + added;
          p[i] -= lr * m[i];
        }
      },
    };
  },
  /** Shazeer & Stern 2018, algorithm 4 on a [rows, columns] matrix. */
  adafactor(n: number, { lr, rows, decayRate, eps1, eps2, clip }: Options): Paper {
    const columns = n / rows;
    const [r, c] = [zeros(rows), zeros(columns)];
    const rms = (x: readonly number[]) => norm(x) / Math.sqrt(x.length);
    return {
      update(p, g, t) {
        const rate = Math.max(eps2, rms(p)) * Math.min(lr, 1 / Math.sqrt(t));
        const beta = 1 - t ** -decayRate;
        const square = g.map((x) => x * x + eps1);
        // Sums instead of means: R C / sum(R) is the same number.
        for (let i = 0; i < rows; i++) {
          const sum = square.slice(i * columns, (i + 1) * columns).reduce((a, b) => a + b, 0);
          r[i] = beta * r[i] + (1 - beta) * sum;
        }
        for (let j = 0; j < columns; j++) {
          const sum = square.filter((_, k) => k % columns === j).reduce((a, b) => a + b, 0);
          c[j] = beta * c[j] + (1 - beta) * sum;
        }
        const total = r.reduce((a, b) => a + b, 0);
        const u = g.map((x, k) => x / Math.sqrt((r[Math.floor(k / columns)] * c[k % columns]) / total));
        const clipped = Math.max(1, rms(u) / clip);
        for (let k = 0; k < n; k++) p[k] -= (rate * u[k]) / clipped;
      },
    };
  },
} as const;
