import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import { chooseBackend, openGemm } from '../../src/kernels/backend.ts';
import { type BlasInfo, type BlasMissing, type Environment, findBlas, openBlas } from '../../src/kernels/blas.ts';
import { bothLevels } from './sides.ts';

const blas: BlasInfo = { library: 'libtest.so', version: 'Test 1', core: 'Any' };
const system = (env: Environment, found: BlasInfo | BlasMissing) => ({ env, findBlas: () => found });

describe('chooseBackend', () => {
  it('takes a BLAS that it finds, WASM otherwise, and then says what to install', () => {
    expect(chooseBackend({}, system({}, blas))).toMatchObject({ gemm: 'blas', blas });
    const without = chooseBackend({}, system({}, 'library'));
    expect(without.gemm).toBe('wasm');
    expect(without.advice).toMatch(/BLAS .* x as fast: .*(install|PATH)/);
    expect(chooseBackend({}, system({}, 'koffi')).advice).toContain('npm install koffi');
  });

  it('portable is WASM with plain SIMD, whatever there is', () => {
    expect(chooseBackend({ portable: true }, system({}, blas))).toEqual({ gemm: 'wasm', simd: 'simd128' });
  });

  it('LOCKSTEP_GEMM=wasm does without BLAS and without advice', () => {
    const choice = chooseBackend({}, system({ LOCKSTEP_GEMM: 'wasm' }, blas));
    expect(choice.gemm).toBe('wasm');
    expect(choice.advice).toBeUndefined();
  });

  it('LOCKSTEP_GEMM=blas without a BLAS is E_KERNEL and names what is missing', () => {
    for (const [missing, words] of [
      ['koffi', 'npm install koffi'],
      ['library', 'no BLAS library'],
    ] as const) {
      const choose = () => chooseBackend({}, system({ LOCKSTEP_GEMM: 'blas' }, missing));
      expect(choose).toThrow(LockstepError);
      expect(choose).toThrow(words);
    }
  });

  it('other values are refused', () => {
    expect(() => chooseBackend({}, system({ LOCKSTEP_GEMM: 'cuda' }, blas))).toThrow(/blas or wasm, got cuda/);
  });

  it('asks for one BLAS thread, and respects what the user has set', () => {
    const env: Environment = { OPENBLAS_NUM_THREADS: '3', OPENBLAS_CORETYPE: 'HASWELL' };
    chooseBackend({}, system(env, blas));
    expect(env).toMatchObject({
      OPENBLAS_NUM_THREADS: '3',
      OPENBLAS_CORETYPE: 'HASWELL',
      MKL_NUM_THREADS: '1',
      OMP_NUM_THREADS: '1',
      BLIS_NUM_THREADS: '1',
      VECLIB_MAXIMUM_THREADS: '1',
    });
  });

  it('touches nothing of the environment without need', () => {
    const env: Environment = { LOCKSTEP_GEMM: 'wasm' };
    chooseBackend({}, system(env, blas));
    expect(env).toEqual({ LOCKSTEP_GEMM: 'wasm' });
  });
});

describe('the BLAS of this machine', () => {
  let saved: NodeJS.ProcessEnv;
  beforeEach(() => {
    saved = { ...process.env };
  });
  afterEach(() => {
    for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
    Object.assign(process.env, saved);
  });

  it('is found or reported missing, and opens again where it was found', () => {
    const found = findBlas();
    if (typeof found === 'string') {
      expect(['koffi', 'library']).toContain(found);
    } else {
      expect(found.library).not.toBe('');
      expect(typeof openBlas(found.library)).toBe('function');
    }
  });

  it('a library that is gone in a worker is E_KERNEL', async () => {
    const [sides] = await bothLevels();
    expect(() => openBlas('libno-such-blas.so')).toThrow(/E_KERNEL|LOCKSTEP_GEMM=wasm/);
    expect(() =>
      openGemm(
        { gemm: 'blas', simd: 'simd128', blas: { library: 'libno-such-blas.so', version: '', core: '' } },
        sides.memory,
        sides.wasm,
        0,
      ),
    ).toThrow(LockstepError);
  });
});
