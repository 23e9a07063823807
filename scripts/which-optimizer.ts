/**
 * Writes docs/which-optimizer.md from docs/results/claims.json. The results are made by
 * `npm run -s lockstep -- compare --suite claims --run-dir docs/results`, which also draws the pictures.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { renderClaims } from '../src/compare/claims/page.ts';
import { claimsSchema } from '../src/compare/claims/results.ts';
import { ROOT } from './root.ts';

const docs = new URL('docs/', ROOT);
const results = claimsSchema.parse(JSON.parse(readFileSync(new URL('results/claims.json', docs), 'utf8')));
writeFileSync(new URL('which-optimizer.md', docs), renderClaims(results, 'results/'));
rmSync(new URL('results/which-optimizer.md', docs), { force: true }); // the same page with other links
