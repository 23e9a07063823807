import type { ServerResponse } from 'node:http';

/** Messages that are kept for pages that come back, and their size in all. */
const KEPT = 256;
const KEPT_CHARACTERS = 4_000_000;
/** Bytes that may wait for a page: one that reads slower misses messages and gets the state anew. */
const MOST_WAITING = 1_000_000;

interface Message {
  readonly number: number;
  readonly frame: string;
}

interface Client {
  readonly response: ServerResponse;
  /** Number of the last message that it was sent. */
  last: number;
  behind: boolean;
}

/**
 * Server-sent events to any number of pages (https://html.spec.whatwg.org/multipage/server-sent-events.html). A message is made into text once
 * for all. A page that comes back with Last-Event-ID gets what it has missed if that is still kept, else the whole state; so does one that
 * was too slow.
 */
export class Hub {
  readonly #run: string;
  /** The whole state, as the data of a 'state' message. */
  readonly #state: () => string;
  readonly #clients = new Set<Client>();
  #messages: Message[] = [];
  #characters = 0;
  #number = 0;

  /** @param run tells ids of this process from those of another. */
  constructor(run: string, state: () => string) {
    this.#run = run;
    this.#state = state;
  }

  get size(): number {
    return this.#clients.size;
  }

  /** Adds a page. The head of the response has been written. */
  connect(response: ServerResponse, lastEventId: string | undefined): void {
    const client: Client = { response, last: -1, behind: false };
    response.on('close', () => this.#clients.delete(client));
    response.on('drain', () => {
      if (!client.behind) return;
      client.behind = false;
      this.#catchUp(client, client.last);
    });
    const [run, number] = (lastEventId ?? '').split('/');
    this.#catchUp(client, run === this.#run && /^\d+$/.test(number ?? '') ? Number(number) : -1);
    this.#clients.add(client);
  }

  /** The whole state, and the number of the last message that is in it. */
  state(): string {
    const data = this.#state(); // it sends what was still to be sent
    return `{"number":${this.#number},"data":${data}}`;
  }

  /** To all pages, and kept for those that come back. */
  send(type: string, data: unknown): void {
    this.#number += 1;
    const frame = this.#frame(type, JSON.stringify(data));
    this.#messages.push({ number: this.#number, frame });
    this.#characters += frame.length;
    while (this.#messages.length > KEPT || this.#characters > KEPT_CHARACTERS) {
      this.#characters -= this.#messages.shift()?.frame.length ?? 0;
    }
    for (const client of this.#clients) this.#write(client, frame);
  }

  /** To all pages that keep up; of no use later. */
  sendNow(type: string, data: unknown): void {
    if (this.#clients.size === 0) return;
    const frame = `event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
    for (const { response, behind } of this.#clients) {
      if (!behind && response.writableLength <= MOST_WAITING) response.write(frame);
    }
  }

  /** Nobody was there to see what has changed: whoever comes back gets the whole state. */
  skip(): void {
    this.#number += 1;
    this.#messages = [];
    this.#characters = 0;
  }

  /** A last message to all, after which pages do not come back. */
  end(type: string): void {
    for (const { response } of this.#clients) response.end(`event: ${type}\ndata: {}\n\n`);
    this.#clients.clear();
  }

  #catchUp(client: Client, last: number): void {
    const missed = this.#messages.filter(({ number }) => number > last);
    const complete = last === this.#number || (missed.length > 0 && missed[0].number === last + 1);
    const frames = complete ? missed.map(({ frame }) => frame).join('') : this.#frame('state', this.#state());
    if (frames !== '') client.response.write(frames);
    client.last = this.#number;
  }

  #write(client: Client, frame: string): void {
    if (client.behind) return;
    if (client.response.writableLength > MOST_WAITING) {
      client.behind = true;
      return;
    }
    client.response.write(frame);
    client.last = this.#number;
  }

  #frame(type: string, data: string): string {
    return `id: ${this.#run}/${this.#number}\nevent: ${type}\ndata: ${data}\n\n`;
  }
}
