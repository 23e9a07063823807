import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNodelist } from '../../../cluster/launch/nodelist.ts';

describe('a Slurm node list', () => {
  it.each([
    ['a', ['a']],
    ['a,b', ['a', 'b']],
    ['gpu[1-3]', ['gpu1', 'gpu2', 'gpu3']],
    ['gpu[01-03,7],login', ['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']],
    ['n[8-11]', ['n8', 'n9', 'n10', 'n11']],
    ['n[098-101]', ['n098', 'n099', 'n100', 'n101']],
    ['rack[1-2]n[1,3]', ['rack1n1', 'rack1n3', 'rack2n1', 'rack2n3']],
    ['a[1-2]-ib.x', ['a1-ib.x', 'a2-ib.x']],
    ['[1-2]', ['1', '2']],
    ['node-0-[5-6],node-1-5', ['node-0-5', 'node-0-6', 'node-1-5']],
    [' host \n', ['host']],
  ])('%s', (text, hosts) => expect(parseNodelist(text)).toEqual(hosts));

  it.each([
    ['', 'expected a host name, got the end'],
    ['a,', 'character 3: expected a host name, got the end'],
    ['a[1-', 'expected a number, got the end'],
    ['a[1', 'expected "," or "]", got the end'],
    ['a[]', 'expected a number, got "]"'],
    ['a[3-1]', 'expected a range that ends at 3 or later, got 1'],
    ['a]', 'expected "," or the end, got "]"'],
    ['a b', 'expected "," or the end, got " "'],
    ['a[1-999999999999]', 'expected at most 100000 hosts'],
    ['a[1-99999]b[1-99999]', 'expected at most 100000 hosts'],
  ])('%j is refused', (text, message) => expect(() => parseNodelist(text)).toThrow(message));

  it('gives back any names that it could have been made of', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/);
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 9 }), (names) => {
        expect(parseNodelist(names.join(','))).toEqual(names);
      }),
    );
  });
});
