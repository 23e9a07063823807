import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** Names by which a browser on this machine (or at the other end of a tunnel) asks for the page. */
const OWN_HOSTS = new Set(['127.0.0.1', 'localhost', '[::1]']);

/**
 * Why a request is refused, if it is. A page of another site can make a browser ask any port of this machine: it is told by its Origin and
 * Sec-Fetch-Site, and a name that was made to point here (DNS rebinding) by its Host. Whoever may look has the token.
 */
export function refusal(request: IncomingMessage, token: string, cookie: string): string | undefined {
  const { host = '', origin } = request.headers;
  const url = parsed(`http://${host}`);
  if (!url || !OWN_HOSTS.has(url.hostname))
    return 'the page is for this machine only: open it as 127.0.0.1 or localhost';
  if (origin !== undefined && origin !== `http://${host}`) return 'a request of another site';
  const site = request.headers['sec-fetch-site'];
  const navigation = request.method === 'GET' && request.headers['sec-fetch-mode'] === 'navigate';
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !navigation)
    return 'a request of another site';
  if (!tokensOf(request, cookie).some((given) => equal(given, token))) {
    return 'the token is missing or is not that of this run: open the link that was printed when the page was started';
  }
  return undefined;
}

/** The tokens that a request carries: in the link, in the cookie that the link leaves, in the head (Prometheus). */
function tokensOf({ url = '', headers }: IncomingMessage, cookie: string): string[] {
  const inLink = parsed(url, 'http://page')?.searchParams.get('token');
  const inHead = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
  const cookies = (headers.cookie ?? '').split(';').map((part) => part.trim().split('='));
  const inCookie = cookies.find(([name]) => name === cookie)?.[1];
  return [inLink, inHead, inCookie].filter((given) => given !== null && given !== undefined);
}

function equal(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

export function parsed(url: string, base?: string): URL | undefined {
  try {
    return new URL(url, base);
  } catch {
    return undefined;
  }
}
