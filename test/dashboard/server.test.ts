import { request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import parsePrometheus from 'parse-prometheus-text-format';
import { afterEach, expect, test } from 'vitest';
import { type Dashboard, openDashboard } from '../../src/dashboard/dashboard.ts';
import { evaluation, header, step } from '../record/fixtures.ts';

let page: Dashboard;
afterEach(() => page?.close());

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

/** A request with any head: browsers and fetch do not let us lie. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET', body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: page.port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }));
    });
    sent.on('error', reject).end(body);
  });
}

const tokenOf = (url: string) => new URL(url).searchParams.get('token') ?? '';
const bearer = () => ({ authorization: `Bearer ${tokenOf(page.url)}` });
const pause = JSON.stringify({ action: 'pause' });

test('who has no token, or comes from another site, sees and does nothing', async () => {
  page = await openDashboard({ port: 0 });
  const { controls } = page.watch('a');
  const own = `127.0.0.1:${page.port}`;
  const refused: [string, Record<string, string>][] = [
    ['no token', {}],
    ['a wrong token', { authorization: 'Bearer wrong' }],
    ['a wrong cookie', { cookie: `lockstep_${page.port}=wrong` }],
    ['the cookie of another port', { cookie: `lockstep_1=${tokenOf(page.url)}` }],
    ['a foreign origin', { ...bearer(), origin: 'http://evil.example' }],
    ['an opaque origin', { ...bearer(), origin: 'null' }],
    ['another port as origin', { ...bearer(), origin: `http://127.0.0.1:${page.port + 1}` }],
    ['a foreign host', { ...bearer(), host: 'evil.example' }],
    ['a foreign host with our port', { ...bearer(), host: `evil.example:${page.port}` }],
    ['a script of another site', { ...bearer(), 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }],
  ];
  for (const [what, headers] of refused) {
    for (const path of ['/', '/events', '/state', '/curves', '/metrics', '/main.js']) {
      expect([what, path, (await ask(path, headers)).status]).toEqual([what, path, 403]);
    }
    expect([what, (await ask('/control', headers, 'POST', pause)).status]).toEqual([what, 403]);
  }
  expect((await ask('/?token=wrong')).body).toContain('open the link that was printed');
  expect(controls.wanted.pause).toBe(false);

  expect((await ask('/', { ...bearer(), host: `localhost:${page.port + 1}` })).status).toBe(200); // a tunnel
  expect((await ask('/control', { ...bearer(), origin: `http://${own}` }, 'POST', pause)).status).toBe(204);
  expect(controls.wanted.pause).toBe(true);
  expect((await ask('/control', bearer(), 'POST', '{"action":"explode"}')).status).toBe(400);
  expect((await ask('/control', bearer(), 'POST', '{"action":"checkpoint"}')).status).toBe(409);
  expect((await ask('/state', bearer(), 'DELETE')).status).toBe(405);
});

test('the token leaves the address for a cookie, and everything forbids what is not ours', async () => {
  page = await openDashboard({ port: 0 });
  const entered = await ask(`/?token=${tokenOf(page.url)}`);
  expect(entered).toMatchObject({ status: 303, headers: { location: '/' } });
  const [cookie] = entered.headers['set-cookie'] ?? [];
  expect(cookie).toMatch(/; HttpOnly; SameSite=Lax/);
  const { status, headers, body } = await ask('/', { cookie: cookie.split(';')[0] });
  expect(status).toBe(200);
  expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
  expect(body).not.toMatch(/https?:|\son\w+=|\sstyle=/);
});

test('a port that is taken gives the next one', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  page = await openDashboard({ port });
  expect(page.port).toBeGreaterThan(port);
  expect(page.port).toBeLessThan(port + 20);
  taken.close();
});

/** Reads server-sent events until `done` says so. */
function events(
  headers: Record<string, string>,
  done: (types: readonly string[]) => boolean,
): Promise<{ type: string; id: string; data: string }[]> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: '127.0.0.1', port: page.port, path: '/events', headers: { ...bearer(), ...headers } },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => {
          text += part;
          const frames = text
            .split('\n\n')
            .slice(0, -1)
            .filter((frame) => !frame.startsWith('retry: '));
          const seen = frames.map((frame) =>
            Object.fromEntries(
              frame.split('\n').map((line) => [line.split(':', 1)[0], line.slice(line.indexOf(':') + 2)]),
            ),
          );
          if (!done(seen.map(({ event }) => event))) return;
          response.destroy();
          resolve(seen.map(({ event, id, data }) => ({ type: event, id, data })));
        });
        response.on('error', () => undefined);
      },
    );
    sent.on('error', reject).end();
  });
}

test('a page that comes back gets what it has missed, once; after too long it gets the whole state', async () => {
  page = await openDashboard({ port: 0 });
  const { board } = page;
  const pages = async (count: number) => {
    while (board.hub.size !== count) await new Promise(setImmediate);
  };
  const { sink } = page.watch('a');
  await sink.open(header);
  void sink.write([step(1)]);
  const [state] = await events({}, (types) => types.includes('state'));
  expect(JSON.parse(state.data).runs[0].curves.step).toEqual([1]);
  await pages(0);
  const other = events({}, (types) => types.filter((type) => type === 'news').length === 2); // somebody is there all the time
  await pages(1);
  void sink.write([step(2)]);
  board.flush();
  void sink.write([step(3), evaluation]);
  board.flush();
  const missed = await events({ 'last-event-id': state.id }, (types) => types.length === 2);
  expect(missed.map(({ type, data }) => [type, JSON.parse(data).curves.step])).toEqual([
    ['news', [2]],
    ['news', [3]],
  ]);
  expect(JSON.parse(missed[1].data).evaluations.mean).toMatchObject({ 'val.loss': [0.5] });
  await other;
  for (const id of ['another/1', `${state.id.split('/')[0]}/99999`, 'x']) {
    const [first] = await events({ 'last-event-id': id }, (types) => types.length === 1);
    expect(JSON.parse(first.data).runs[0].curves.step).toEqual([1, 2, 3]);
  }
  await pages(0);
  void sink.write([step(4)]);
  board.flush(); // nobody is there: not kept
  const [anew] = await events({ 'last-event-id': missed[1].id }, (types) => types.length === 1);
  expect(anew.type).toBe('state');
});

test('20 pages at once get the same; one that has lost its connection is told at once that it has it again', async () => {
  page = await openDashboard({ port: 0 });
  const { board } = page;
  const { sink } = page.watch('a');
  await sink.open(header);
  const reading = Array.from({ length: 20 }, () => events({}, (types) => types.includes('news')));
  while (board.hub.size < 20) await new Promise(setImmediate);
  void sink.write([step(1)]);
  board.flush();
  const all = await Promise.all(reading);
  // What nodes do may come along with it, and has no place in the order.
  const news = all.map((frames) => frames.findLast(({ type }) => type === 'news'));
  for (const frame of news) expect(JSON.parse(frame?.data ?? '')).toMatchObject({ curves: { step: [1] } });
  while (board.hub.size > 0) await new Promise(setImmediate);
  // Nothing has come since: the answer begins all the same.
  const status = await new Promise((resolve, reject) => {
    const headers = { ...bearer(), 'last-event-id': news[0]?.id ?? '' };
    const sent = request({ host: '127.0.0.1', port: page.port, path: '/events', headers }, (response) => {
      resolve(response.statusCode);
      response.destroy();
    });
    sent.on('error', reject).end();
  });
  expect(status).toBe(200);
});

test('the state of a run reaches pages that are open, and buttons of one that is over do nothing', async () => {
  page = await openDashboard({ port: 0 });
  const { sink, controls } = page.watch('a');
  await sink.open(header);
  const reading = events({}, (types) => types.includes('news'));
  while (page.board.hub.size < 1) await new Promise(setImmediate);
  const [run] = page.board.runs;
  run.state = 'interrupted';
  page.board.flush();
  expect(JSON.parse((await reading).at(-1)?.data ?? '')).toEqual({ id: 0, state: 'interrupted' });
  controls.enter('ended');
  expect(await ask('/control', bearer(), 'POST', pause)).toMatchObject({ status: 409, body: '409: the run is over\n' });
});

test('what is no port is refused', async () => {
  for (const port of [-1, 1.5, 65_536, Number.NaN]) {
    await expect(openDashboard({ port })).rejects.toMatchObject({ code: 'E_OPTION' });
  }
});

test('/metrics is read by a parser of Prometheus', async () => {
  page = await openDashboard({ port: 0 });
  const { sink } = page.watch('a "run"\nwith\\signs');
  await sink.open(header);
  void sink.write([step(1), { ...step(2, Number.NaN), clipScale: 0.5 }, evaluation]);
  const node = { name: 'n1', state: 'working', workers: 2, shards: 4, heartbeatAgeMs: 1500, sentBytes: 10 } as const;
  page.setNodes([node, { ...node, state: 'lost' }]); // of one name
  const { headers, body } = await ask('/metrics', bearer());
  expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const families = parsePrometheus(body);
  const valuesOf = (name: string) =>
    families.find((f) => f.name === name)?.metrics.map(({ value, labels }) => [labels ?? {}, value]);
  expect(valuesOf('lockstep_step')).toEqual([[{}, '2']]);
  expect(valuesOf('lockstep_loss')).toEqual([[{}, 'NaN']]);
  expect(valuesOf('lockstep_steps_total')).toEqual([[{}, '2']]);
  expect(valuesOf('lockstep_samples_total')).toEqual([[{}, '64']]);
  expect(valuesOf('lockstep_clipped_steps_total')).toEqual([[{}, '1']]);
  expect(valuesOf('lockstep_phase_seconds_total')).toContainEqual([{ phase: 'compute' }, '0.002']);
  expect(valuesOf('lockstep_evaluation')).toEqual([[{ metric: 'val.loss' }, '0.5']]);
  expect(valuesOf('lockstep_node_heartbeat_age_seconds')).toEqual([[{ node: 'n1' }, '1.5'], [{ node: 'n1 #2' }, '1.5']]); // biome-ignore format: one line
  expect(valuesOf('lockstep_node_up')).toEqual([[{ node: 'n1' }, '1'], [{ node: 'n1 #2' }, '0']]); // biome-ignore format: one line
  expect(valuesOf('lockstep_info')?.[0][0]).toMatchObject({ gemm: 'wasm' });
  expect(body).toContain(String.raw`run="a \"run\"\nwith\\signs"`); // as the format wants it; the parser leaves it so
  const series = body.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.slice(0, line.lastIndexOf(' '))); // biome-ignore format: one line
  expect(new Set(series).size).toBe(series.length); // Prometheus refuses a page that says anything twice
  for (const { name, type, help } of families) {
    expect(help).not.toBe('');
    expect([name, type]).toEqual([name, name.endsWith('_total') ? 'COUNTER' : 'GAUGE']);
  }
});

test('/metrics of several runs that are not trained here has all of them, each under its name', async () => {
  page = await openDashboard({ port: 0 });
  const facts = { totalSteps: 10, metrics: [] };
  for (const [i, name] of ['a', 'b', 'a'].entries()) page.board.addRun({ name, ...facts }).add([step(i + 1)]);
  const { body } = await ask('/metrics', bearer());
  const steps = parsePrometheus(body).find(({ name }) => name === 'lockstep_step')?.metrics;
  expect(steps?.map(({ labels, value }) => [labels?.run, value])).toEqual([
    ['a', '1'],
    ['b', '2'],
    ['a #2', '3'],
  ]);
  expect(parsePrometheus(body).find(({ name }) => name === 'lockstep_info')?.metrics).toHaveLength(3);
});
