import { parentPort } from 'node:worker_threads';
import { type SaveRequest, saveCheckpoint } from './save.ts';
import { nodeFs } from './store-fs.ts';

/** Thread entry of writer.ts: a request in, its outcome out, one after another. */
parentPort?.on('message', (request: SaveRequest) => parentPort?.postMessage(saveCheckpoint(nodeFs, request)));
