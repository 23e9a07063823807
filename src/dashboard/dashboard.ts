import { randomBytes } from 'node:crypto';
import type { Sink } from '../record/contract.ts';
import { Controls } from '../train/controls.ts';
import { Board } from './board.ts';
import type { NodeStatus, TimedStep } from './contract.ts';
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
  /**
   * For `train`: a sink that shows a run, and the buttons that act on it. `before`: a run folder, whose curves a run that is resumed goes
   * on with.
   */
  watch(name: string, before?: string): { readonly sink: Sink; readonly controls: Controls };
  /** How the nodes of a run on several machines are. */
  setNodes(nodes: readonly NodeStatus[]): void;
  /** When its nodes computed. */
  addSteps(steps: readonly TimedStep[]): void;
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
    watch(name, before) {
      const controls = new Controls();
      board.control(controls);
      return { sink: board.sink(name, before), controls };
    },
    setNodes: (nodes) => board.setNodes(nodes),
    addSteps: (steps) => board.addSteps(steps),
    async close() {
      board.close();
      await server.close();
    },
  };
}
