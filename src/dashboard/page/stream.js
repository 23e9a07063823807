/** Messages of the server, through the connection that all tabs share where the browser can do that. `take` gets { type, data }. */
export function listen(take) {
  const pass = ({ type, data }) =>
    take(type, data === undefined ? undefined : typeof data === 'string' ? JSON.parse(data) : data);
  if (typeof SharedWorker === 'function') {
    const { port } = new SharedWorker('/shared.js', { type: 'module', name: 'lockstep' });
    port.onmessage = ({ data }) => pass(data);
    addEventListener('pagehide', () => port.postMessage('leave'));
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
    return;
  }
  const source = new EventSource('/events');
  for (const type of ['state', 'run', 'news', 'controls', 'nodes', 'timeline', 'bye']) {
    source.addEventListener(type, ({ data }) => {
      pass({ type, data });
      if (type === 'bye') source.close();
    });
  }
  source.onopen = () => pass({ type: 'back' });
  // 'away': the browser tries again by itself, with Last-Event-ID.
  source.onerror = () => pass({ type: source.readyState === EventSource.CLOSED ? 'lost' : 'away' });
}
