import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LockstepError } from '../errors.ts';
import type { Board } from './board.ts';
import { parsed, refusal } from './guard.ts';
import { type PageFile, pageFiles } from './page-files.ts';
import { PROMETHEUS_TYPE, prometheusText } from './prometheus.ts';

export const DEFAULT_PORT = 7460;
/** Ports that are tried where the one that was asked for is taken. */
const TRIES = 20;
/** Proxies and browsers drop connections that are silent for long. */
const ALIVE_MS = 15_000;
/** A page that has lost the connection comes back after so long. */
const RETRY_MS = 1000;
/** Pages ask for as many points as they have pixels. */
const MOST_POINTS = 8000;
/** Characters of a request to act. */
const MOST_BODY = 1000;

/** Nothing from elsewhere, no inline script or style, in no frame. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** The page over HTTP, on loopback only. */
export class PageServer {
  readonly #board: Board;
  readonly #token: string;
  readonly #server: Server;
  readonly #files: ReadonlyMap<string, PageFile>;
  readonly #alive: NodeJS.Timeout;
  #port = 0;

  private constructor(board: Board, token: string) {
    this.#board = board;
    this.#token = token;
    this.#files = pageFiles();
    this.#server = createServer((request, response) => {
      response.on('error', () => undefined); // the reader went away
      this.#answer(request, response);
    });
    // Without a listener a connection that cannot be accepted (too many open files) would end the process, and the run with it.
    this.#server.on('error', () => undefined);
    this.#alive = setInterval(() => this.#board.hub.sendNow('alive', {}), ALIVE_MS);
    this.#alive.unref();
  }

  /** Listens on a port of loopback, or on one of the next if that is taken; 0: any. @throws E_DASHBOARD if all are, E_OPTION for what is no port. */
  static async open(board: Board, token: string, port: number): Promise<PageServer> {
    if (!Number.isInteger(port) || port < 0 || port > 65_535) {
      const fix = 'name one, or leave it out';
      throw new LockstepError('E_OPTION', { where: 'port of the dashboard', expected: 'a whole number from 0 to 65535', got: String(port), fix }); // biome-ignore format: one line
    }
    const page = new PageServer(board, token);
    let cause: unknown;
    for (let tried = port; tried < port + TRIES && tried < 65_536; tried++) {
      try {
        page.#port = await listen(page.#server, tried);
        return page;
      } catch (error) {
        cause = error;
        const code = error instanceof Error && 'code' in error ? error.code : undefined;
        if (code !== 'EADDRINUSE' && code !== 'EACCES') break;
      }
    }
    clearInterval(page.#alive);
    throw new LockstepError('E_DASHBOARD', {
      where: `port ${port}`,
      expected: 'a free port on this machine, there or soon after',
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'choose another one: --dashboard 8000',
      cause,
    });
  }

  get port(): number {
    return this.#port;
  }

  /** The link to open, with the token. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/?token=${this.#token}`;
  }

  async close(): Promise<void> {
    clearInterval(this.#alive);
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // A page that does not read its last message must not keep the process.
    const patience = setTimeout(() => this.#server.closeAllConnections(), 500);
    this.#server.closeIdleConnections();
    await closed;
    clearTimeout(patience);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = parsed(request.url ?? '/', 'http://page') ?? new URL('http://page/');
    const refused = refusal(request, this.#token, this.#cookie);
    if (request.method !== 'POST') request.resume();
    if (refused) send(response, text(403, refused));
    else if (request.method === 'POST' && url.pathname === '/control') this.#control(request, response);
    else if (request.method !== 'GET') send(response, text(405, 'GET, or POST to /control', { allow: 'GET, POST' }));
    else if (url.pathname === '/events') this.#events(request, response);
    else send(response, this.#get(url));
  }

  get #cookie(): string {
    return `lockstep_${this.#port}`; // cookies are shared by all ports of a host
  }

  #get(url: URL): Answer {
    switch (url.pathname) {
      case '/':
        return url.searchParams.has('token') ? this.#enter() : this.#file('/index.html');
      case '/state':
        return json(this.#board.hub.state());
      case '/curves':
        return this.#curves(url);
      case '/metrics':
        return { status: 200, type: PROMETHEUS_TYPE, body: prometheusText(this.#board) };
      default:
        return this.#file(url.pathname);
    }
  }

  /** The token goes from the address into a cookie: addresses are shown, shared and kept. */
  #enter(): Answer {
    const kept = `${this.#cookie}=${this.#token}; HttpOnly; SameSite=Lax; Path=/`;
    return text(303, '', { location: '/', 'set-cookie': kept });
  }

  #file(path: string): Answer {
    const file = this.#files.get(path);
    return file ? { status: 200, ...file } : text(404, 'nothing there');
  }

  #events(request: IncomingMessage, response: ServerResponse): void {
    response.writeHead(200, { ...HEADERS, 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' });
    response.write(`retry: ${RETRY_MS}\n\n`); // at once: the page is to know that it is connected, also when there is nothing new
    request.socket.setNoDelay();
    const last = request.headers['last-event-id'];
    this.#board.hub.connect(response, Array.isArray(last) ? last[0] : last);
  }

  #curves({ searchParams }: URL): Answer {
    const number = (name: string, otherwise: number) => {
      const value = Number(searchParams.get(name) ?? otherwise);
      return Number.isFinite(value) ? value : otherwise;
    };
    const run = this.#board.runs[number('run', 0)];
    if (!run) return text(404, 'no such run');
    const points = Math.min(MOST_POINTS, Math.max(1, number('points', 1000)));
    return json(JSON.stringify(run.query(points, number('from', 0), number('to', Number.MAX_SAFE_INTEGER))));
  }

  #control(request: IncomingMessage, response: ServerResponse): void {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => {
      body += part;
      if (body.length > MOST_BODY) request.destroy();
    });
    request.on('end', () => send(response, this.#act(body)));
  }

  #act(body: string): Answer {
    const { controls, actions } = this.#board;
    if (!controls) return text(409, 'nothing is trained here');
    if (controls.state === 'ended') return text(409, 'the run is over');
    const action = actions.find((name) => body === JSON.stringify({ action: name }));
    if (!action) return text(400, `{"action":"..."}, one of ${actions.join(', ')}`);
    if (action === 'checkpoint' && !controls.canSave) {
      return text(409, 'the run has no folder to save into (--run-dir)');
    }
    controls[action]();
    return text(204, '');
  }
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

function text(status: number, what: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: what && `${status}: ${what}\n`, headers };
}

const json = (body: string): Answer => ({ status: 200, type: 'application/json', body });

function send(response: ServerResponse, { status, type, body, headers }: Answer): void {
  response.writeHead(status, { ...HEADERS, 'content-type': type, ...headers });
  response.end(body);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void => {
      server.off('listening', listening);
      reject(error);
    };
    const listening = (): void => {
      server.off('error', failed);
      resolve((server.address() as AddressInfo).port);
    };
    server.once('error', failed).once('listening', listening);
    server.listen(port, '127.0.0.1');
  });
}
