/** A word as every POSIX shell reads it: nothing in it is expanded. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * One string for a remote shell that runs `script` with `words` as $1, $2 ...; whatever the words are, they stay data. `sh` is named,
 * for the login shell may be another one; the script has no line breaks, which csh would not take.
 */
export function shellCommand(script: string, words: readonly string[]): string {
  return ['sh', '-c', script, 'sh', ...words].map(quoted).join(' ');
}
