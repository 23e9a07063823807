import { describe, expect, it } from 'vitest';
import { checkAnswer, encodeIdentity } from '../../../cluster/launch/preflight.ts';
import type { Identity } from '../../../src/train/identity.ts';

const OWN: Identity = {
  lockstep: '1.0.0',
  program: { job: { epochs: 3 }, seed: 1 },
  data: { rows: 96 },
  kernels: { gemm: 'blas' },
  proof: '',
};

function verdict(stdout: string[], options: { code?: number | null; stderr?: string[]; mixed?: boolean } = {}): string {
  const { code = 0, stderr = [], mixed = false } = options;
  const project = { folder: '/here', remoteFolder: '/there' };
  const end = { code, signal: code === null ? ('SIGKILL' as const) : null };
  try {
    checkAnswer('host1', { project, mixed }, { stdout, stderr }, end, OWN);
  } catch (error) {
    return error instanceof Error ? `${Reflect.get(error, 'code')} ${error.message}` : 'no error';
  }
  return 'fits';
}

const answers = (changes: Partial<Identity>, node = 'v22.1.0') => [
  'welcome to host1!',
  `@lockstep node ${node}`,
  encodeIdentity({ ...OWN, ...changes }),
  'bye',
];

describe('the answer of a host', () => {
  it.each([
    [answers({}), 'fits'],
    [answers({}, 'v20.19.0'), 'fits'],
    [answers({ program: { job: { epochs: 9 }, seed: 1 } }), 'fits'], // the coordinator says when the run ends
    [answers({}, 'v20.18.3'), 'E_LAUNCH host1: expected Node 20.19 or later, got v20.18.3; install it'],
    [answers({}, 'v18.20.0'), 'got v18.20.0'],
    [answers({}, ''), 'expected Node 20.19 or later, got none that runs'],
    [['@lockstep no-node'], 'expected Node.js, got none'],
    [
      ['@lockstep no-folder'],
      'E_LAUNCH host1: expected the project in /there, got no such folder; copy it with --sync',
    ],
    [
      answers({ lockstep: '0.9.0' }),
      'host1, lockstep: expected "1.0.0" as here, got "0.9.0"; install the same version',
    ],
    [
      answers({ program: { job: { epochs: 3 }, seed: 2 } }),
      'host1, program.seed: expected 1 as here, got 2; run the same job',
    ],
    [
      answers({ data: { rows: 95 } }),
      'host1, data.rows: expected 96 as here, got 95; give all nodes the same files, and the job the same seed and splits',
    ],
    [
      answers({ kernels: { gemm: 'wasm' } }),
      'host1, kernels.gemm: expected "blas" as here, got "wasm"; use the same BLAS',
    ],
    [['@lockstep node v22.1.0', 'nonsense'], 'expected a job that compiles, got nonsense'],
  ])('%j: %s', (stdout, message) => expect(verdict(stdout)).toContain(message));

  it('may be of other kernels where those are admitted', () => {
    expect(verdict(answers({ kernels: { gemm: 'wasm' } }), { mixed: true })).toBe('fits');
  });

  it('that ssh could not fetch is told apart, for it may be there later', () => {
    const stderr = ['', 'ssh: connect to host host1 port 22: Connection refused'];
    expect(verdict([], { code: 255, stderr })).toContain(
      'E_UNREACHABLE host1: expected a host that ssh reaches, got ssh: connect to host host1 port 22: Connection refused',
    );
    expect(verdict([], { code: null })).toContain('E_UNREACHABLE host1: expected a host that ssh reaches, got SIGKILL');
  });

  it('says what the job said there', () => {
    const stderr = ['error E_JOB_LOAD: train.ts: no such file', ''];
    expect(verdict(['@lockstep node v22.1.0'], { code: 78, stderr })).toContain(
      'E_LAUNCH host1: expected a job that compiles, got error E_JOB_LOAD: train.ts: no such file',
    );
  });
});
