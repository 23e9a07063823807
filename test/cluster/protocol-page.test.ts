import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { encodeFrame, FRAME_LIMITS } from '../../cluster/frames.ts';
import { MESSAGES, PROTOCOL } from '../../cluster/messages.ts';
import { DEADLINES } from '../../cluster/options.ts';
import { PIECE_BYTES } from '../../cluster/transfer.ts';

// docs/protocol.md says what the code does.
const page = readFileSync(new URL('../../docs/protocol.md', import.meta.url), 'utf8');

test('its example is the bytes of that message', () => {
  const dump = /```\n(87 .*?)```/s.exec(page)?.[1] ?? '';
  const bytes = dump.split('\n').flatMap((line) => line.slice(0, 48).match(/\b[0-9a-f]{2}\b/g) ?? []);
  const header = { type: 'sums', fence: 7, round: 3, epoch: 1, first: 0, count: 2, offset: 0 };
  const frame = Buffer.concat(encodeFrame(header, [new Uint8Array(Float32Array.of(1, -2).buffer)]));
  expect(bytes.join('')).toBe(frame.toString('hex'));
});

test('it lists every message with its fields and number of regions', () => {
  const listed = [...page.matchAll(/^\| `(\w+)` \| (.*?) \| (.*?) ?\|$/gm)].map(([, type, header, regions]) => ({
    type,
    fields: [...header.replaceAll(/\([^)]*\)/g, '').matchAll(/`(\w+)`/g)].map(([, name]) => name).sort(),
    regions: regions === '' ? 0 : regions.split(';').length,
  }));
  const known = MESSAGES.map(({ type, fields, regions }) => ({ type, fields: [...fields].sort(), regions }));
  // `update` says "; never with fp32" of its one region, `rows` and `sums` explain theirs behind a colon.
  expect(listed.map(({ type, fields }) => ({ type, fields }))).toEqual(
    known.map(({ type, fields }) => ({ type, fields })),
  );
  for (const { type, regions } of known)
    expect(listed.find((row) => row.type === type)?.regions === 0, type).toBe(regions === 0);
});

test('its numbers are those of the code', () => {
  expect(page).toContain(`Version ${PROTOCOL}.`);
  const { headerBytes, depth, items, regions } = FRAME_LIMITS;
  expect(page).toContain(`${headerBytes / 1024} KiB, ${depth} levels, ${items.toLocaleString('en')} items`);
  expect(page).toContain(`| regions in a frame | ${regions} |`);
  expect(page).toContain(`Pieces have at most ${PIECE_BYTES / 1024} KiB.`);
  for (const name of ['heartbeatMs', 'silenceMs', 'joinMs', 'quorumMs'] as const) {
    const row = page.split('\n').find((line) => line.endsWith(`| \`${name}\` |`));
    expect(row, name).toMatch(new RegExp(`\\b${DEADLINES[name] / 1000} s`));
  }
});
