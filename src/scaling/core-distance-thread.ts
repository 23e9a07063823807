import { parentPort, workerData } from 'node:worker_threads';
import { answerTurns } from './line-turns.ts';

/** Thread entry of core-distance.ts. */
parentPort?.postMessage('ready');
answerTurns(workerData as Int32Array);
