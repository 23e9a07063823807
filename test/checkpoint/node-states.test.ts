import { expect, it } from 'vitest';
import type { SavedNodes } from '../../src/checkpoint/node-states.ts';
import { type SaveRequest, saveCheckpoint } from '../../src/checkpoint/save.ts';
import { readCheckpoint } from '../../src/checkpoint/store.ts';
import { MemoryFs } from './memory-fs.ts';
import { sample } from './sample.ts';

const RUN = '/run';
const PATH = '/run/checkpoints/step-00000012';

function saved(nodes: SavedNodes, told = nodes.states): MemoryFs {
  const fs = new MemoryFs();
  fs.makeFolder(RUN);
  const { facts, ...rest } = sample(RUN, 12);
  const states = told.map(({ seat, after }) => ({ seat, after }));
  const request: SaveRequest = { ...rest, facts: { ...facts, nodes: { wire: 'int8', lost: 3, states } }, nodes };
  expect(saveCheckpoint(fs, request)).toMatchObject({ ok: true });
  return fs;
}

const state = (seat: number, after: number) => ({ seat, after, bytes: Uint8Array.from({ length: 40 + seat }, (_, i) => i * seat) }); // biome-ignore format: a row
const replica = Float32Array.from({ length: 32 }, (_, i) => i / 7);

it('gives back what nodes kept, by seat, and the replica; a model does without', () => {
  const nodes = { replica, states: [state(0, 12), state(2, 11)] };
  const fs = saved(nodes);
  const { manifest, nodes: found } = readCheckpoint(fs, PATH);
  expect(found?.replica).toEqual(replica);
  expect(found?.states.map(({ bytes, ...rest }) => ({ ...rest, bytes: Uint8Array.from(bytes) }))).toEqual(nodes.states);
  expect(manifest.nodes).toEqual({ wire: 'int8', lost: 3, states: [{ seat: 0, after: 12 }, { seat: 2, after: 11 }] });
  expect(readCheckpoint(fs, PATH, 'model').nodes).toBeUndefined();
}); // biome-ignore format: a row

it('has no file where nothing could be fetched', () => {
  const { manifest, nodes } = readCheckpoint(saved({ states: [] }), PATH);
  expect([manifest.nodes, nodes]).toEqual([{ wire: 'int8', lost: 3, states: [] }, undefined]);
  expect(manifest.files.map(({ name }) => name)).not.toContain('nodes.safetensors');
});

it('is not whole when a seat is missing, or nobody knows of one', () => {
  const states = [state(0, 12), state(1, 12)];
  const [one] = states;
  expect(() => readCheckpoint(saved({ states: [one] }, states), PATH)).toThrow(/nodes\.safetensors.*seat-1 as U8/);
  expect(() => readCheckpoint(saved({ states }, [one]), PATH)).toThrow(/the seats of the manifest.*seat-1/);
  const none = new MemoryFs();
  none.makeFolder(RUN);
  const { facts, ...rest } = sample(RUN, 12);
  const request = { ...rest, facts: { ...facts, nodes: { wire: 'int8', lost: 0, states: [{ seat: 0, after: 3 }] } } };
  expect(saveCheckpoint(none, request)).toMatchObject({ ok: false, reason: { message: expect.stringMatching(/nodes\.safetensors/) } });
}); // biome-ignore format: a row
