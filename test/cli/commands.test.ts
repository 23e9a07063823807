import { describe, expect, it } from 'vitest';
import { readCommandLine } from '../../src/cli/commands.ts';
import { UsageError } from '../../src/cli/usage.ts';

function problem(args: readonly string[]): string {
  try {
    readCommandLine(args, '1.2.3');
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
  return 'none';
}

function text(...args: string[]): string {
  const request = readCommandLine(args, '1.2.3');
  return request.kind === 'text' ? request.text : 'work';
}

describe('a command line', () => {
  it.each([
    [['train', 'x.ts', '--workers', '2', '--set', 'a=1', '--set', 'b=2', '-q', '--json']],
    [['train', '--workers', 'auto', 'x.ts', '--batch-size', 'full', '--seed', '0']],
    [['summary', 'x.ts', '-w', '64']],
    [['env', '--json']],
    [['lr-find', 'x.ts', '--from', '1e-5', '--to', '1', '--steps', '50', '-w', '1', '--json']],
    [['train', 'x.ts', '--fast-dev-run']],
    [['train', 'x.ts', '--overfit-batches', '2']],
    [['--verbose', 'train', 'x.ts']],
    [['launch', '-H', 'a:1,b:2', 'x.ts', '--sync', '--set', 'a=1', '--run-dir', 'r', '--wire', 'bf16']],
    [['coordinator', 'x.ts', '--port', '0', '--min-nodes', '2', '--quorum-ms', '5']],
    [['node', 'ws://127.0.0.1:1', 'x.ts', '-w', '2', '--token-file', 't']],
    [['node', '-', 'x.ts', '--preflight']],
    [['join', 'x.ts', '--engine', 'slurm', '--insecure']],
    [['chaos', 'x.ts', '--nodes', '4', '--kill-every', '5s', '--pause', '--partition', '--corrupt', '--minutes', '2']],
  ])('%j is work', (args) => expect(readCommandLine(args, '1.2.3').kind).toBe('work'));

  it('tells schedulers kinds of failures apart where they start it', () => {
    for (const args of [
      ['launch', 'x'],
      ['coordinator', 'x'],
      ['node', '-', 'x'],
      ['join', 'x'],
    ])
      expect(readCommandLine(args, '1')).toMatchObject({ scheduled: true });
    expect(readCommandLine(['train', 'x'], '1')).toMatchObject({ scheduled: false });
  });

  it('knows who only looks: Ctrl-C stops no run then', () => {
    for (const args of [['dashboard', 'a'], ['watch', 'a'], ['runs']])
      expect(readCommandLine(args, '1')).toMatchObject({ leaves: true });
    for (const args of [
      ['train', 'x'],
      ['compare', 'x'],
    ])
      expect(readCommandLine(args, '1')).toMatchObject({ leaves: false });
  });

  it('is verbose wherever that stands', () => {
    expect(readCommandLine(['--verbose', 'env'], '1')).toMatchObject({ verbose: true });
    expect(readCommandLine(['env', '--verbose'], '1')).toMatchObject({ verbose: true });
    expect(readCommandLine(['env'], '1')).toMatchObject({ verbose: false });
  });

  it.each([
    [['trian', 'x.ts'], 'got "trian"; did you mean "train"?'],
    [[], 'got none; see lockstep --help'],
    [['zzzzzzzzzz'], 'see lockstep --help'],
    [
      ['train', 'x.ts', '--wrokers', '2'],
      'option --wrokers: expected an option of lockstep train, got an unknown one; did you mean --workers?',
    ],
    [['env', '--jsn'], 'did you mean --json?'],
    [['train'], 'lockstep train: expected the file of a job, got nothing; see lockstep train --help'],
    [['train', 'x.ts', '--epochs', '0'], 'option --epochs <n>: expected a whole number of at least 1, got "0"'],
    [['train', 'x.ts', '--steps', '1e3'], 'got "1e3"'],
    [
      ['train', 'x.ts', '--overfit-batches', '0'],
      'option --overfit-batches <n>: expected a whole number of at least 1',
    ],
    [['lr-find', 'x.ts', '--from', '0'], 'option --from <lr>: expected a number above 0, got "0"'],
    [['train', 'x.ts', '--seed', '-1'], 'option --seed <n>: expected a whole number of at least 0, got "-1"'],
    [['train', 'x.ts', '--batch-size', 'half'], 'expected \'full\' or a whole number of at least 1, got "half"'],
    [['train', 'x.ts', '--workers', '1.5'], 'expected \'auto\' or a whole number of at least 1, got "1.5"'],
    [['train', 'x.ts', '--set'], 'expected a value, got nothing'],
    [['coordinator', 'x.ts', '--port', '65536'], 'expected a port: a whole number from 0 to 65535, got "65536"'],
    [['join', 'x.ts', '--engine', 'slrum'], 'expected one of torchrun, openmpi, pmi, slurm, kubernetes, got "slrum"'],
    [['node', 'x.ts'], 'lockstep node: expected the file of a job, got nothing'],
    [
      ['train', '--dashboard', 'x.ts'],
      'expected a port, or nothing behind it: what else there is comes before, got "x.ts"',
    ],
    [['train', 'x.ts', '--dashboard', '65536'], 'expected a port: a whole number from 0 to 65535, got "65536"'],
    [['train', 'x.ts', 'more'], 'expected 1 argument, got 2'],
  ])('%j is refused', (args, message) => expect(problem(args)).toContain(message));

  it.each([
    [['--help'], /train.*summary.*env.*Examples.*Exit codes.*130.*143/s],
    [
      ['train', '--help'],
      /--workers.*--shards.*--batch-size.*--set.*--run-dir.*--json.*Examples.*parametersSha256.*Exit codes/s,
    ],
    [['summary', '-h'], /Examples.*Exit codes/s],
    [['launch', '-h'], /--hosts.*--sync.*Examples.*tunnel.*Exit codes: .*75 .*78 .*65 .*143/s],
    [
      ['coordinator', '-h'],
      /--min-nodes.*--wire.*--sync-every.*--sync-warmup.*--outer-lr.*--outer-momentum.*--host.*--tls-cert.*--insecure.*LOCKSTEP_TOKEN.*75 /s,
    ],
    [['node', '-h'], /--tls-ca.*--reconnect-ms.*--preflight.*LOCKSTEP_TOKEN.*75 /s],
    [['chaos', '-h'], /--nodes.*--kill-every.*--pause.*--partition.*--corrupt.*--minutes.*goodput.*Exit codes/s],
    [['join', '-h'], /--engine.*SLURM_PROCID.*JOB_COMPLETION_INDEX.*75 /s],
    [['env', '-h'], /--json/],
    [['--version'], /^1\.2\.3\n$/],
  ])('%j is text', (args, pattern) => expect(text(...args)).toMatch(pattern));
});
