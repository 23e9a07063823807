import { randomBytes } from 'node:crypto';
import type { Sink } from '../record/contract.ts';
import { Controls } from '../train/controls.ts';
import { Board } from './board.ts';
import type { NodeStatus } from './contract.ts';
import { DEFAULT_PORT, PageServer } from './server.ts';

export interface DashboardOptions {
  /** Port on loopback; if it is taken the next free one. 0: any. Default 7460. */
  readonly port?: number;
  /** What the page is called. */
  readonly title?: string;
}

/** A live page. */
export interface Dashboard {
  /** The link to open, with its token. */
  readonly url: string;
  readonly port: number;
  readonly board: Board;
  /** For `train`: a sink that shows a run, and the buttons that act on it. */
  watch(name: string): { readonly sink: Sink; readonly controls: Controls };
  /** How the nodes of a run on several machines are. */
  setNodes(nodes: readonly NodeStatus[]): void;
  close(): Promise<void>;
}

/**
 * Opens a live page on this machine:
 *
 *   const page = await openDashboard();
 *   console.log(page.url);
 *   const { sink, controls } = page.watch('my run');
 *   await train(job, { sinks: [sink], controls });
 *   await page.close();
 *
 * @throws E_DASHBOARD where no port is free.
 */
export async function openDashboard({
  port = DEFAULT_PORT,
  title = 'Lockstep',
}: DashboardOptions = {}): Promise<Dashboard> {
  const board = new Board(randomBytes(4).toString('hex'), title);
  let server: PageServer;
  try {
    server = await PageServer.open(board, randomBytes(16).toString('base64url'), port);
  } catch (error) {
    board.close();
    throw error;
  }
  return {
    url: server.url,
    port: server.port,
    board,
    watch(name) {
      const controls = new Controls();
      board.control(controls);
      return { sink: board.sink(name), controls };
    },
    setNodes: (nodes) => board.setNodes(nodes),
    async close() {
      board.close();
      await server.close();
    },
  };
}
