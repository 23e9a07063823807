import { describe, expect, it } from 'vitest';
import { checkAnswer, type PreflightAnswer } from '../../../cluster/launch/preflight.ts';

const OWN: PreflightAnswer = { lockstep: '1.0.0', node: 'v22.1.0', program: 'abc' };
const PROJECT = { folder: '/here', remoteFolder: '/there' };

function verdict(stdout: string[], code: number | null = 0, stderr: string[] = []): string {
  try {
    checkAnswer('host1', PROJECT, { stdout, stderr }, { code, signal: code === null ? 'SIGKILL' : null }, OWN);
  } catch (error) {
    return error instanceof Error ? `${Reflect.get(error, 'code')} ${error.message}` : 'no error';
  }
  return 'fit';
}

const json = (answer: Partial<PreflightAnswer>) => JSON.stringify({ ...OWN, ...answer });

describe('the answer of a host', () => {
  it.each([
    [['@lockstep node v22.1.0', json({})], 'fit'],
    [['welcome to host1!', '@lockstep node v20.19.0', json({ node: 'v20.19.0' })], 'fit'],
    [['@lockstep node v20.18.3', json({})], 'E_LAUNCH host1: expected Node 20.19 or later, got v20.18.3; install it'],
    [['@lockstep node v18.20.0', json({})], 'got v18.20.0'],
    [['@lockstep node '], 'expected Node 20.19 or later, got none that runs'],
    [['@lockstep no-node'], 'expected Node.js, got none'],
    [
      ['@lockstep no-folder'],
      'E_LAUNCH host1: expected the project in /there, got no such folder; copy it with --sync',
    ],
    [['@lockstep node v22.1.0', json({ lockstep: '0.9.0' })], 'expected lockstep 1.0.0, got 0.9.0'],
    [
      ['@lockstep node v22.1.0', json({ program: 'abd' })],
      'expected the program that the job compiles to here, abc, got abd',
    ],
    [['@lockstep node v22.1.0', '{"program":"abc"}'], 'expected a job that compiles'],
  ])('%j: %s', (stdout, message) => expect(verdict(stdout)).toContain(message));

  it('that ssh could not fetch is told apart, for it may be there later', () => {
    const refused = ['', 'ssh: connect to host host1 port 22: Connection refused'];
    expect(verdict([], 255, refused)).toContain(
      'E_UNREACHABLE host1: expected a host that ssh reaches, got ssh: connect',
    );
    expect(verdict([], null)).toContain('E_UNREACHABLE host1: expected a host that ssh reaches, got SIGKILL');
  });

  it('says what the job said there', () => {
    const stdout = ['@lockstep node v22.1.0'];
    expect(verdict(stdout, 78, ['error E_JOB_LOAD: train.ts: no such file', ''])).toContain(
      'E_LAUNCH host1: expected a job that compiles, got error E_JOB_LOAD: train.ts: no such file',
    );
  });
});
