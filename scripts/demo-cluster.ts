// MNIST on a coordinator and three node processes of this machine, then on one worker: the parameters are the same bytes.
//
//   npm run demo:cluster -- [--epochs 1] [--kill]
//
// --kill ends one node by SIGKILL after the first steps: others compute its shards, and the bytes stay.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { given } from './given.ts';

const values = given({ epochs: { type: 'string', default: '1' }, kill: { type: 'boolean', default: false } });

const JOB = 'examples/mnist.ts';
const NODES = 3;
const main = ['--conditions=lockstep-source', '--import', 'tsx', 'src/cli/main.ts'];
const children: ChildProcess[] = [];

/** A lockstep command whose lines are shown with a name in front; `onLine` looks at them. */
function lockstep(name: string, args: readonly string[], onLine: (line: string) => void = () => {}): ChildProcess {
  const child = spawn(process.execPath, [...main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  createInterface(child.stderr).on('line', (line) => {
    console.log(`[${name}] ${line}`);
    onLine(line);
  });
  return child;
}

/** What a command with --json has to say. */
async function resultOf(child: ChildProcess): Promise<{ parametersSha256: string; samplesPerSec: number }> {
  let text = '';
  child.stdout?.on('data', (data) => {
    text += data;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`a command ended with ${code}`);
  return JSON.parse(text);
}

try {
  const training = ['--epochs', values.epochs, '--json'];
  const nodes: ChildProcess[] = [];
  const cluster = await resultOf(
    lockstep(
      'coordinator',
      ['coordinator', JOB, '--port', '0', '--min-nodes', values.kill ? '1' : String(NODES), ...training],
      (line) => {
        const url = /lockstep node (ws:\S+)/.exec(line)?.[1];
        if (url === undefined || nodes.length > 0) return;
        for (let n = 1; n <= NODES; n++) {
          const name = `node${n}`;
          nodes.push(
            lockstep(name, ['node', url, JOB, '--workers', '1', '--name', name, '--epochs', values.epochs], (said) => {
              if (values.kill && n === 2 && said.includes('joined'))
                setTimeout(() => nodes[n - 1].kill('SIGKILL'), 500);
            }),
          );
        }
      },
    ),
  );
  const single = await resultOf(lockstep('1 worker', ['train', JOB, '--workers', '1', ...training]));
  console.log(`coordinator + ${NODES} nodes  ${cluster.parametersSha256}`);
  console.log(`1 worker             ${single.parametersSha256}`);
  const same = cluster.parametersSha256 === single.parametersSha256;
  console.log(same ? 'the same bytes' : 'NOT THE SAME BYTES');
  process.exitCode = same ? 0 : 1;
} finally {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill();
}
