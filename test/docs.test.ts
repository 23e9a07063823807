import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCommandLine } from '../src/cli/commands.ts';
import { UsageError } from '../src/cli/usage.ts';

const root = resolve(import.meta.dirname, '..');
const PAGES = ['README.md', 'CONTRIBUTING.md', ...readdirSync(join(root, 'docs')).filter((f) => f.endsWith('.md')).map((f) => `docs/${f}`)]; // biome-ignore format: a list
const pages = PAGES.map((name) => ({ name, text: readFileSync(join(root, name), 'utf8') }));

/** All matches of a pattern on all pages, as `page: what`, of which `wrong` holds. */
function wrongOnes(pattern: RegExp, wrong: (match: RegExpMatchArray, page: string) => boolean): string[] {
  return pages.flatMap(({ name, text }) =>
    [...text.matchAll(pattern)].filter((match) => wrong(match, name)).map((match) => `${name}: ${match[0]}`),
  );
}

/** Lines of the code blocks of a page that are shell commands of ours, without what starts and follows them. */
function commandLines(text: string): string[] {
  const blocks = [...text.matchAll(/^```\w*\n(.*?)^```/gms)].map((match) => match[1]);
  const inText = [...text.matchAll(/`(lockstep [^`]+)`/g)].map((match) => match[1].replaceAll('\n', ' '));
  const lines = [...blocks.flatMap((block) => block.split('\n')), ...inText];
  return lines
    .flatMap(
      (line) =>
        /^(?:\$ )?(?:srun )?(?:npm run -s lockstep --|lockstep) ((?:(?! {2})[^#>|;])+)/.exec(line.trim())?.[1].trim() ??
        [],
    )
    .filter((line) => !/[<[]|^[a-z-]+$/.test(line)); // not what stands for something else, nor the name of a command // biome-ignore format: one line
}

/** Words of a shell command, quotes taken off. */
const words = (line: string): string[] => [...line.matchAll(/'([^']*)'|(\S+)/g)].map((m) => m[1] ?? m[2]);

function problem(line: string): string | undefined {
  try {
    readCommandLine(words(line), '1');
    return undefined;
  } catch (error) {
    if (error instanceof UsageError) return error.message;
    throw error;
  }
}

describe('the documentation', () => {
  it('links to what is there', () => {
    const missing = wrongOnes(/\]\((?!https?:)([^)#]+)[^)]*\)/g, ([, to], page) => !existsSync(join(root, dirname(page), to))); // biome-ignore format: one line
    expect(missing).toEqual([]);
  });

  it('names files and folders that are there', () => {
    const files = /`((?:src|cluster|test|scripts|docs|examples)\/[\w./-]+)`/g;
    expect(wrongOnes(files, ([, file]) => !existsSync(join(root, file)))).toEqual([]);
  });

  it('names npm scripts that are there', () => {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(wrongOnes(/npm run (?:-s )?([\w:-]+)/g, ([, script]) => !(script in scripts))).toEqual([]);
  });

  it('has command lines that lockstep understands', () => {
    const all = pages.flatMap(({ name, text }) => commandLines(text).map((line) => ({ name, line })));
    expect(all.length).toBeGreaterThan(50);
    const wrong = all.flatMap(({ name, line }) => {
      const message = problem(line);
      return message === undefined ? [] : [`${name}: lockstep ${line}: ${message}`];
    });
    expect(wrong).toEqual([]);
  });

  it('names every file of cluster/ in the architecture', () => {
    const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
    const files = readdirSync(join(root, 'cluster')).filter((file) => file.endsWith('.ts') && file !== 'index.ts');
    expect(files.filter((file) => !text.includes(`(../cluster/${file})`))).toEqual([]);
  });

  // What --help says of every command. After a change: npx vitest run test/docs.test.ts -u
  it('has a page of all commands and options', async () => {
    const help = (...args: string[]): string => {
      const request = readCommandLine([...args, '--help'], '1');
      if (request.kind !== 'text') throw new Error(`no help for ${args}`);
      return request.text.trim();
    };
    const [top, exits] = help().split('\n\nExit codes:');
    const [list] = /(?<=^Commands:\n)(?: {2}.*\n?)+/m.exec(top) ?? [''];
    const names = [...list.matchAll(/^ {2}([a-z-]+)/gm)].map(([, name]) => name);
    const clusterExits = /\nExit codes:(.*)/s.exec(help('launch'))?.[1];
    const page = [
      '# Command line',
      'What `lockstep <command> --help` prints. This page is made from it: `npx vitest run test/docs.test.ts -u`.',
      `\`\`\`text\n${top}\n\`\`\``,
      `Exit codes:${exits}`,
      `Of \`launch\`, \`coordinator\`, \`node\` and \`join\`:${clusterExits}`,
      ...names.flatMap((name) => [`## ${name}`, `\`\`\`text\n${help(name).split('\n\nExit codes:')[0]}\n\`\`\``]),
    ];
    await expect(`${page.join('\n\n')}\n`).toMatchFileSnapshot('../docs/cli.md');
  });
});
