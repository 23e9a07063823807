import { execFileSync } from 'node:child_process';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { shellCommand } from '../../../cluster/launch/shell.ts';
import { allocatedPort, sshScript } from '../../../cluster/launch/ssh.ts';
import { rsyncCommand, tarCommand } from '../../../cluster/launch/sync.ts';

it('words reach a script of a remote shell as they are', () => {
  const word = fc.string({ unit: fc.constantFrom(...'ab \'"\\$`!*?#~;|&<>(){}[]%=-\t\né') });
  const nasty = fc.array(word, { maxLength: 8 });
  fc.assert(
    fc.property(nasty, (words) => {
      // As sshd does it: one string to the shell of the user.
      const said = execFileSync('sh', ['-c', shellCommand('for w in "$@"; do printf "%s\\0" "$w"; done', words)]);
      expect(said.toString().split('\0').slice(0, -1)).toEqual(words);
    }),
    { numRuns: 60 },
  );
});

it('a host is never an option of ssh, and a tunnel leads to loopback only', () => {
  const { program, args } = sshScript('host', { config: '/c' }, 'exec "$@"', ['a b'], 29_400);
  expect(program).toBe('ssh');
  expect(args.slice(0, 2)).toEqual(['-F', '/c']);
  expect(args.slice(-5)).toEqual(['-R', '127.0.0.1:0:127.0.0.1:29400', '--', 'host', `sh -c 'exec "$@"' sh 'a b'`]);
  expect(sshScript('host', {}, 'true', []).args).not.toContain('-R');
});

it('the port of a tunnel is read from what ssh says, and from nothing else', () => {
  expect(allocatedPort('Allocated port 37905 for remote forward to 127.0.0.1:29400\r')).toBe(37_905);
  expect(allocatedPort('Warning: Allocated port 1 for remote forward to 127.0.0.1:29400')).toBeUndefined();
  expect(allocatedPort('Allocated port 1 for remote forward to 10.0.0.1:29400')).toBeUndefined();
});

it('a project is copied without history and runs, to a folder that no shell expands', () => {
  const project = { folder: '/p q', remoteFolder: '/r $(x)' };
  const { args } = rsyncCommand('me@::1', project, { config: "/it's" });
  expect(args.slice(-3)).toEqual(['--', '/p q/', 'me@[::1]:/r $(x)/']);
  expect(args).toEqual(expect.arrayContaining(['--protect-args', '--exclude=/.git', '--exclude=/runs']));
  expect(args[args.indexOf('-e') + 1]).toMatch(/^ssh -F '\/it''s' -T /);
  expect(tarCommand(project).args).toEqual(['-czf', '-', '-C', '/p q', '--exclude=./.git', '--exclude=./runs', '.']);
});
