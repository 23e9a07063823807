/**
 * One connection for all tabs of a browser: over HTTP/1.1 it opens no more than six to a server, and each page would hold one. A SharedWorker:
 * it passes on what comes, and gives a tab that is opened the whole state first.
 */
const TYPES = ['state', 'run', 'news', 'controls', 'nodes', 'timeline', 'bye'];
const tabs = new Set();
let source;

function connect() {
  source = new EventSource('/events');
  for (const type of TYPES) {
    source.addEventListener(type, ({ data, lastEventId }) => {
      for (const tab of tabs) tab.take({ type, data, number: numberOf(lastEventId) });
      if (type === 'bye') source.close();
    });
  }
  source.onopen = () => tell('back');
  // 'away': the browser tries again by itself, with Last-Event-ID.
  source.onerror = () => tell(source.readyState === EventSource.CLOSED ? 'lost' : 'away');
}

function tell(type) {
  for (const tab of tabs) tab.take({ type, number: Infinity });
}

const numberOf = (id) => Number(id.split('/')[1] ?? Infinity);

class Tab {
  #port;
  /** What comes before the state is there. */
  #waiting = [];

  constructor(port) {
    this.#port = port;
  }

  async begin() {
    try {
      const answer = await fetch('/state');
      const { number, data } = await answer.json();
      this.#port.postMessage({ type: 'state', data });
      for (const message of this.#waiting)
        if (message.number > number || message.type === 'bye') this.#port.postMessage(message);
      this.#waiting = undefined;
    } catch {
      this.#port.postMessage({ type: 'lost' });
    }
  }

  take(message) {
    if (this.#waiting) this.#waiting.push(message);
    else this.#port.postMessage(message);
  }
}

self.onconnect = ({ ports: [port] }) => {
  const tab = new Tab(port);
  tabs.add(tab);
  port.onmessage = () => tabs.delete(tab); // it says one thing only: that it goes
  if (!source || source.readyState === EventSource.CLOSED) connect();
  void tab.begin();
};
