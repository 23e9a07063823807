/**
 * URL of a fixture as it was compiled (test/setup/build.ts): what processes and threads load, and the same module that a test gets which
 * imports the fixture.
 */
export const fixtureUrl = (name: string): URL => new URL(`../../dist/test/fixtures/${name}.js`, import.meta.url);
