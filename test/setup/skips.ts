import { readFileSync } from 'node:fs';
import { relative, sep } from 'node:path';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** A test that may be skipped in CI: `test` is "test/file.test.ts > suite > name". */
export interface AllowedSkip {
  readonly test: string;
  readonly reason: string;
}

const LIST = new URL('../allowed-skips.json', import.meta.url);

/**
 * What is wrong with the skipped tests of a run. Pure.
 *
 * @param skipped names of the tests that were skipped.
 * @param known names of all tests of the files that ran.
 */
export function skipProblems(
  allowed: readonly AllowedSkip[],
  skipped: readonly string[],
  known: readonly string[],
): string[] {
  const listed = new Set(allowed.map(({ test }) => test));
  const files = new Set(known.map(fileOf));
  return [
    ...skipped.filter((name) => !listed.has(name)).map((name) => `skipped without a reason: ${name}`),
    ...allowed.filter(({ reason }) => reason.trim() === '').map(({ test }) => `no reason is given for: ${test}`),
    ...allowed
      .filter(({ test }) => files.has(fileOf(test)) && !known.includes(test))
      .map(({ test }) => `listed, but there is no such test: ${test}`),
  ];
}

/** A skipped test hides what it was written to show. In CI each one must be listed with its reason. */
export default class SkipReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const skipped = tests.filter((test) => test.result().state === 'skipped').map(nameOf);
    const problems = skipProblems(readAllowed(), skipped, tests.map(nameOf));
    if (problems.length === 0) return;
    process.stderr.write(`\nskipped tests (test/allowed-skips.json lists those that may be, with the reason):\n`);
    for (const problem of problems) process.stderr.write(`  ${problem}\n`);
    process.exitCode = 1;
  }
}

function readAllowed(): AllowedSkip[] {
  return JSON.parse(readFileSync(LIST, 'utf8')) as AllowedSkip[];
}

function nameOf(test: TestCase): string {
  const file = relative(process.cwd(), test.module.moduleId).split(sep).join('/');
  return `${file} > ${test.fullName}`;
}

function fileOf(name: string): string {
  return name.split(' > ', 1)[0];
}
