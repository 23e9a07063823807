import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { checkToken, makeToken } from '../../cluster/security.ts';
import { givenToken } from '../../src/cli/token.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-token-'));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'token');
const token = makeToken();
writeFileSync(path, `${token}\n`);

it('takes the token from the file that was given, then from the environment', () => {
  const [other, third] = [makeToken(), makeToken()];
  const env = { LOCKSTEP_TOKEN: other, LOCKSTEP_TOKEN_FILE: join(folder, 'third') };
  writeFileSync(env.LOCKSTEP_TOKEN_FILE, third);
  const read = (...given: Parameters<typeof givenToken>) => checkToken(givenToken(...given).token, 'far.example');
  expect(read(path, env)).toBe(token);
  expect(read(undefined, env)).toBe(other);
  expect(read(undefined, { ...env, LOCKSTEP_TOKEN: undefined })).toBe(third);
  expect(read(undefined, { ...env, LOCKSTEP_TOKEN: '' })).toBe(third); // set to nothing, as compose files do
  expect(givenToken(undefined, {}).token).toBeUndefined();
});

it('names the source in errors, not what it holds', () => {
  writeFileSync(path, 'hunter2 hunter2 hunter2 hunter2 hunter2');
  const given = givenToken(path, {});
  expect(() => checkToken(given.token, '127.0.0.1', given.where)).toThrow(/^option --token-file .*token: expected/);
  expect(() => checkToken(given.token, '127.0.0.1', given.where)).not.toThrow(/hunter2/);
  expect(() => givenToken(folder, {})).toThrow(/a folder/);
  expect(() => givenToken(undefined, { LOCKSTEP_TOKEN_FILE: join(folder, 'none') })).toThrow(
    /LOCKSTEP_TOKEN_FILE.*ENOENT/,
  );
  writeFileSync(path, 'x'.repeat(5000));
  expect(() => givenToken(path, {})).toThrow(/5000 bytes/);
});
