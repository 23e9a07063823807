import type { LockstepError } from '../src/errors.ts';
import type { ReadingMemory } from '../src/kernels/checksum.ts';
import type { Session } from '../src/parallel/session.ts';
import type { Identity } from '../src/train/identity.ts';
import { Connection } from './connection.ts';
import { examine } from './examine.ts';
import type { Place } from './frame-reader.ts';
import { FrameError } from './frames.ts';
import type { Arrival } from './listener.ts';
import { headerFromNode, hex, type Message, type Of, PROTOCOL, readFromNode, type ToCoordinator } from './messages.ts';
import type { Deadlines } from './options.ts';
import { answer, makeNonce } from './security.ts';
import { RowSender } from './stream-data.ts';
import { queueLimits } from './transfer.ts';

export type Hello = Message<Of<ToCoordinator, 'hello'>>;

/** A node that has proved itself. */
export interface Newcomer {
  readonly hello: Hello;
  readonly address: string;
  readonly connection: Connection;
  /** By which the coordinator proves itself in turn. */
  readonly mac: string;
}

/** What is done with a peer after it was let in. */
export interface Guest {
  /** Where the only region of a message belongs, if there is such a place. */
  placeOf(header: ToCoordinator, length: number): Place | undefined;
  hear(message: Message<ToCoordinator>): void;
  left(lost: boolean, reason: string): void;
}

export interface ReceptionSetup {
  readonly session: Session;
  readonly memory: ReadingMemory;
  readonly identity: Identity;
  readonly fence: number;
  readonly token: string | undefined;
  readonly mixed: boolean;
  /** Training data without its rows, for nodes that have none (stream-data.ts); absent: they are refused. */
  readonly description?: Uint8Array;
  readonly deadlines: Deadlines;
  /** Lets it in. */
  admit(newcomer: Newcomer): Guest;
  onRefused(name: string, address: string, reason: string): void;
  /** One has come after the end, and was told. */
  onLate(name: string): void;
}

/** How a run has ended. */
export interface RunEnd {
  readonly reason: string;
  readonly failed: boolean;
}

/** The shard of step 1 that nodes prove themselves by (src/parallel/serve.ts). */
export const PROOF_SHARD = { first: 0, count: 1 };

/** Peers that open a connection: each has to prove the token and that it computes the same job before it is let in. */
export class Reception {
  readonly #setup: ReceptionSetup;
  /** Everybody who has a connection, let in or not. */
  readonly #connections = new Set<Connection>();
  #over: RunEnd | undefined;

  constructor(setup: ReceptionSetup) {
    this.#setup = setup;
  }

  /** Nobody is let in any more: who comes now is told of the end. */
  close(end: RunEnd): void {
    this.#over = end;
  }

  /** Ends all connections. */
  disconnect(reason: string): void {
    for (const connection of this.#connections) connection.close(reason);
  }

  receive(arrival: Arrival): void {
    const { deadlines, session, onRefused } = this.#setup;
    const nonce = makeNonce();
    let guest: Guest | undefined;
    /** It has had its answer, and is to go. */
    let answered = false;
    let refused = false;
    const connection = new Connection(arrival.websocket, arrival.socket, {
      peer: arrival.address,
      maxPayload: arrival.maxPayload,
      memory: this.#setup.memory,
      heartbeatMs: deadlines.heartbeatMs,
      silenceMs: deadlines.silenceMs,
      ...queueLimits(session),
      places: (header, _, length) => guest?.placeOf(headerFromNode(header), length),
      onMessage: (frame) => {
        arrival.heard();
        const message = readFromNode(frame);
        if (guest) return guest.hear(message);
        if (message.type !== 'hello' || answered) throw new FrameError(0, 'hello first', message.type);
        const error = this.#examine(message, nonce);
        if (error) {
          answered = true;
          refused = true;
          refuse(connection, error);
          onRefused(message.name, connection.peer, error.message);
          return;
        }
        arrival.joined();
        if (this.#over) {
          answered = true;
          void connection.send({ type: 'stop', ...this.#over });
          connection.close(this.#over.reason);
          this.#setup.onLate(message.name);
        } else if (message.wants === 'description') {
          answered = true;
          this.#describe(message, connection, nonce);
        } else {
          const { address } = arrival;
          guest = this.#setup.admit({ hello: message, address, connection, mac: this.#mac(message, nonce) });
        }
      },
      onClose: ({ kind, reason }) => {
        clearTimeout(deadline);
        this.#connections.delete(connection);
        if (guest) guest.left(kind !== 'closed', reason);
        else if (refused) arrival.failed();
        else if (!answered) arrival.failed(`left before it joined: ${reason}`);
      },
    });
    this.#connections.add(connection);
    const deadline = setTimeout(() => {
      if (!guest) connection.close(`no hello within ${deadlines.joinMs} ms`);
    }, deadlines.joinMs);
    void connection.send({ type: 'challenge', protocol: PROTOCOL, nonce: hex(nonce) });
  }

  #examine(hello: Hello, nonce: Uint8Array): LockstepError | undefined {
    const { session, description } = this.#setup;
    const expected = { streamsData: description !== undefined, localSteps: session.pace !== undefined };
    return examine(hello, nonce, { ...this.#setup, ...expected });
  }

  /** To a node without data: what it looks like, and the rows with which it can prove itself. It then comes again. */
  #describe(hello: Hello, connection: Connection, nonce: Uint8Array): void {
    const { fence, session, description = new Uint8Array() } = this.#setup;
    void connection.send({ type: 'description', mac: this.#mac(hello, nonce) }, [description]);
    for (const regions of new RowSender(session).missing(1, PROOF_SHARD)) {
      void connection.send({ type: 'data', fence }, regions);
    }
    connection.close('it has heard what the data looks like');
  }

  #mac(hello: Hello, nonce: Uint8Array): string {
    return hex(answer(this.#setup.token, 'coordinator', PROTOCOL, hello.nonce, nonce));
  }
}

function refuse(connection: Connection, error: LockstepError): void {
  const { where, expected, got, fix } = error.detail;
  void connection.send({
    type: 'refuse', code: error.code, where: clip(where), expected: clip(expected), got: clip(got), fix,
  }); // biome-ignore format: a record
  connection.close('refused');
}

/** What a header has room for. */
function clip(text: string): string {
  return text.length > 1000 ? `${text.slice(0, 997)}...` : text;
}
