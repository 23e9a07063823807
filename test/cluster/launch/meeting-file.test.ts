import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { awaitMeeting, meetingFile, publishMeeting } from '../../../cluster/launch/meeting-file.ts';

describe('a meeting by a file', () => {
  let folder: string;
  let server: Server;
  let port: number;
  let nobody: number;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'lockstep-meeting-'));
    server = createServer((socket) => socket.destroy());
    const other = createServer();
    for (const one of [server, other]) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
    nobody = (other.address() as AddressInfo).port;
    await new Promise((resolve) => other.close(resolve));
  });
  afterAll(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  const meeting = (at: number) => ({ host: '127.0.0.1', port: at, url: `ws://127.0.0.1:${at}`, token: 'secret' });

  it('is waited for, is for its owner only, and is taken away', async () => {
    const file = meetingFile(folder, 'run 1');
    const met = awaitMeeting(file, { deadlineMs: 30_000, pollMs: 5 });
    const withdraw = await publishMeeting(file, meeting(port));
    expect(await met).toEqual(meeting(port));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await withdraw();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is another one for another run, whatever its name is', () => {
    expect(meetingFile(folder, 'a')).not.toBe(meetingFile(folder, 'b'));
    expect(meetingFile('/x', '../../../etc;rm')).toMatch(/^\/x\/\.lockstep-join-[0-9a-f]{16}\.json$/);
  });

  it('does not lead to where a killed run has listened', async () => {
    const file = meetingFile(folder, 'stale');
    await publishMeeting(file, meeting(nobody));
    await expect(awaitMeeting(file, { deadlineMs: 50, pollMs: 5 })).rejects.toThrow('got one where nobody listens');
    const met = awaitMeeting(file, { deadlineMs: 30_000, pollMs: 5 });
    const withdraw = await publishMeeting(file, meeting(port));
    expect((await met).port).toBe(port);
    await withdraw();
  });

  it('ends with the deadline, with the signal, and at nonsense', async () => {
    const file = meetingFile(folder, 'none');
    await expect(awaitMeeting(file, { deadlineMs: 20, pollMs: 5 })).rejects.toMatchObject({ code: 'E_UNREACHABLE' });
    writeFileSync(file, '{"host":');
    await expect(awaitMeeting(file, { deadlineMs: 20, pollMs: 5 })).rejects.toThrow('no such file');
    const stop = AbortSignal.abort();
    await expect(awaitMeeting(file, { deadlineMs: 1e6, signal: stop })).rejects.toMatchObject({ code: 'E_ABORTED' });
    rmSync(file);
  });
});
