import { type Chart, COLOURS } from './draw.ts';

/** What pages of charts are made of: one file that asks for nothing outside itself. Pure. */
export function renderPage({ title, body, footer }: { title: string; body: string; footer: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${body}
<footer>${escapeHtml(footer)}</footer>
</main>
</body>
</html>
`;
}

export function figure({ title, note, svg }: Chart, key: string): string {
  return `<figure><figcaption>${escapeHtml(title)}</figcaption>${key}${svg}<p class="note">${escapeHtml(note)}</p></figure>`;
}

export function legend(names: readonly string[]): string {
  const items = names
    .slice(0, COLOURS)
    .map((name, i) => `<span><i style="background:var(--c${i})"></i>${escapeHtml(name)}</span>`);
  return `<div class="legend">${items.join('')}</div>`;
}

export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  classes: readonly string[] = [],
): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  const body = rows.map((row, i) => `<tr${classes[i] ? ` class="${classes[i]}"` : ''}>${cells(row, 'td')}</tr>`);
  return `<div class="scroll"><table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Ten colours that keep apart on white and on black (Tableau 10 and its lighter half). */
const LIGHT = [
  '#4269d0',
  '#d9730d',
  '#d8364c',
  '#2a8f85',
  '#2f8f46',
  '#c2478a',
  '#7f5fc7',
  '#1f7fbf',
  '#8a6d3b',
  '#6b7280',
];
const DARK = [
  '#8aa6f5',
  '#f5b25c',
  '#ff8a94',
  '#6fd3c7',
  '#7ccf87',
  '#ff9fcf',
  '#bfa5f5',
  '#86c8f2',
  '#c9ab78',
  '#a9b0ba',
];

const variables = (colours: readonly string[]) => colours.map((colour, i) => `--c${i}:${colour}`).join(';');

const STYLE = `
:root{${variables(LIGHT)};--back:#fff;--text:#1b1f24;--dim:#5c6570;--line:#d9dee4;--box:#f3f6fa;--good:#2f8f46;--warn:#b26a00}
@media (prefers-color-scheme:dark){:root{${variables(DARK)};--back:#14171b;--text:#e6e9ed;--dim:#9aa4af;--line:#333a42;--box:#1d2228;--good:#7ccf87;--warn:#f5b25c}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:880px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.6rem;line-height:1.25}h2{margin-top:2.2em;border-bottom:1px solid var(--line);padding-bottom:.2em}h3{margin-top:1.8em}
.recommendation{background:var(--box);border-left:4px solid var(--good);padding:.8em 1.2em;border-radius:4px}
.recommendation.leads,.recommendation.only{border-color:var(--warn)}.recommendation.none{border-color:var(--c2)}
.recommendation .head{font-size:1.25rem;font-weight:600;margin:.1em 0 .3em}
figure{margin:2em 0}figcaption{font-weight:600;margin-bottom:.3em}figure svg{max-width:100%;height:auto;color:var(--text)}
.legend{display:flex;flex-wrap:wrap;gap:.2em 1.1em;font-size:.85rem;margin-bottom:.3em}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.35em;vertical-align:-.05em}
.note,footer{color:var(--dim);font-size:.85rem}footer{margin-top:3em}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.3em .5em;border-bottom:1px solid var(--line);white-space:nowrap}th{white-space:normal;vertical-align:bottom}
th:first-child,td:first-child{text-align:left}details td:last-child{white-space:normal;text-align:left}
tr.dim td{color:var(--dim)}summary{cursor:pointer;margin-top:1.5em}
`;
