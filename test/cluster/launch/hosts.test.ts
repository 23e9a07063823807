import { describe, expect, it } from 'vitest';
import { parseHosts, parseHostsFile } from '../../../cluster/launch/hosts.ts';

describe('a list of hosts', () => {
  it('has workers behind a colon, all cores without one', () => {
    expect(parseHosts('host1:4, me@host2:8,localhost:2,host3')).toEqual([
      { host: 'host1', workers: 4, name: 'host1', local: false },
      { host: 'me@host2', workers: 8, name: 'me@host2', local: false },
      { host: 'localhost', workers: 2, name: 'localhost', local: true },
      { host: 'host3', workers: 'auto', name: 'host3', local: false },
    ]);
  });

  it('tells entries of one host apart', () => {
    expect(parseHosts('a:1,b:1,a:2').map(({ name }) => name)).toEqual(['a', 'b', 'a#2']);
  });

  it('takes IPv6 addresses in brackets', () => {
    expect(parseHosts('[fe80::1%eth0]:4,[::1]')).toEqual([
      { host: 'fe80::1%eth0', workers: 4, name: 'fe80::1%eth0', local: false },
      { host: '::1', workers: 'auto', name: '::1', local: true },
    ]);
  });

  it.each([
    ['', 'expected a host'],
    ['a,,b', 'expected a host'],
    ['a:0', 'expected a number of workers, 1 to 4096, behind the colon, got "a:0"'],
    ['a:4x', 'expected a number of workers'],
    ['a:5000', 'expected a number of workers'],
    ['a:', 'expected a number of workers'],
    ['-oProxyCommand=touch /tmp/x', 'expected a host'],
    ['-oProxyCommand=x', 'expected a host'],
    ['me@-oProxyCommand=x', 'expected a host'],
    ['a;rm', 'expected a host'],
    ['$(id)', 'expected a host'],
    ['`id`:4', 'expected a host'],
    ["a'b", 'expected a host'],
    ['a b', 'expected a host'],
    ['fe80::1', 'expected a host'],
  ])('%j is refused', (text, message) => expect(() => parseHosts(text)).toThrow(message));
});

describe('a file of hosts', () => {
  it('has a host a line, with comments', () => {
    const text = '# the rack\nhost1:4\n\nhost2 slots=8   # faster\r\n  host3\t\n';
    expect(parseHostsFile(text, 'hosts.txt')).toEqual([
      { host: 'host1', workers: 4, name: 'host1', local: false },
      { host: 'host2', workers: 8, name: 'host2', local: false },
      { host: 'host3', workers: 'auto', name: 'host3', local: false },
    ]);
  });

  it('is refused with the line', () => {
    expect(() => parseHostsFile('a\nb; rm -rf /\n', 'hosts.txt')).toThrow('hosts.txt:2: expected a host');
    expect(() => parseHostsFile('a slots=0\n', 'hosts.txt')).toThrow('hosts.txt:1: expected a number of workers');
    expect(() => parseHostsFile('# nobody\n', 'hosts.txt')).toThrow('expected at least one host, got none');
  });
});
