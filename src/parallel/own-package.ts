import Module, { createRequire, register } from 'node:module';

/** Imports of this package, or of one of its parts. */
const OWN = /^lockstep(\/|$)/;
const require = createRequire(import.meta.url);

/** Runs in the loader thread, which shares nothing with this one: plain JavaScript as text. */
const RESOLVE_HOOK = `
let self;
export function initialize(data) { self = data.self; }
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !/^lockstep(\\/|$)/.test(specifier)) throw error;
    return next(specifier, { ...context, parentURL: self });
  }
}`;

let registered = false;

/**
 * Lets the job at `url` import 'lockstep' where it is not installed: `npx lockstep init data.csv` works in an empty folder. What is
 * installed there still comes first. Where something is, nothing is registered: hooks make each later import several times as slow.
 */
export function provideOwnPackage(url: string): void {
  if (registered || finds(url)) return;
  registered = true;
  withoutDeprecation(() =>
    register(`data:text/javascript,${encodeURIComponent(RESOLVE_HOOK)}`, { data: { self: import.meta.url } }),
  );
  // The same for require: Node has no public way before 22.15, and tsx turns imports into it in commonjs packages.
  const resolveFilename: unknown = Reflect.get(Module, '_resolveFilename');
  if (typeof resolveFilename !== 'function') return;
  Reflect.set(Module, '_resolveFilename', function (this: unknown, request: string, ...rest: unknown[]) {
    try {
      return resolveFilename.call(this, request, ...rest);
    } catch (error) {
      const missing = error instanceof Error && Reflect.get(error, 'code') === 'MODULE_NOT_FOUND';
      if (!missing || !OWN.test(request)) throw error;
      return require.resolve(request);
    }
  });
}

function finds(url: string): boolean {
  try {
    createRequire(url).resolve('lockstep');
    return true;
  } catch {
    return false;
  }
}

/** Node 26 deprecates `register` in favour of `registerHooks`, which Node 20 does not have: no news for users. */
function withoutDeprecation(work: () => void): void {
  const before = process.noDeprecation;
  process.noDeprecation = true;
  try {
    work();
  } finally {
    process.noDeprecation = before ?? false;
  }
}
