/** An import or re-export in a source file. */
export interface Import {
  readonly specifier: string;
  /** Gone once compiled. */
  readonly typeOnly: boolean;
}

/** Without comments and the content of strings that are no import; enough for files that biome has formatted. */
export function withoutComments(text: string): string {
  return text.replace(
    /("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g,
    (_, string) => string ?? '',
  );
}

/** Static and dynamic imports with a literal name, in order of kind. */
export function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  const statement = /(?:^|[;\n}])\s*(import|export)\s+(type\s+)?([^'"`;]*?\sfrom\s*|)?['"]([^'"\n]+)['"]/g;
  for (const [, keyword, type, clause = '', specifier] of code.matchAll(statement)) {
    if (keyword === 'export' && !clause) continue;
    found.push({ specifier, typeOnly: type !== undefined || allTypes(clause) });
  }
  // import('x') in types is `typeof import('x')` or an annotation; in code it follows await, a parenthesis, an arrow ...
  for (const match of code.matchAll(/(typeof\s+)?\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    found.push({ specifier: match[2], typeOnly: match[1] !== undefined });
  }
  return found;
}

/** `{ type A, type B } from` imports types only; biome writes it so or as `import type`. */
function allTypes(clause: string): boolean {
  const names = /^\s*\{([\s\S]*)\}/.exec(clause)?.[1];
  if (names === undefined) return false;
  const list = names.split(',').map((name) => name.trim());
  return list.filter(Boolean).every((name) => name.startsWith('type '));
}
