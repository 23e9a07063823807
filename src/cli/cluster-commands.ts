import type { Command } from 'commander';
import { ENGINES } from '../../cluster/launch/engines.ts';
import { WIRE_FORMATS } from '../parallel/wire-format.ts';
import type { Work } from './commands.ts';
import type { CoordinatorCommandOptions } from './coordinator.ts';
import type { JoinCommandOptions } from './join.ts';
import type { LaunchCommandOptions } from './launch.ts';
import type { NodeCommandOptions } from './node.ts';
import { addJobOptions, addTrainOptions, atLeastZero, choice, count, port, positive } from './options.ts';

/** Of the commands that run on several machines; schedulers decide by it. */
export const CLUSTER_EXIT_CODES = `
Exit codes: 0 done; 75 too few nodes, or none that can be reached (start it again); 78 job, options or hosts are wrong (starting it
again will not help); 65 an error in the data; 1 any other error; 2 a command line that is not understood; 130 stopped by Ctrl-C,
143 by SIGTERM (preempted: start it again at once). Errors are one line "error E_CODE: what" on standard error.
`;

const TOKEN_HELP = `
Nodes prove that they know the run's token: LOCKSTEP_TOKEN, or a file (--token-file, LOCKSTEP_TOKEN_FILE), the same everywhere; \`openssl rand -hex 32\` makes
one. On loopback it may be missing. It is never an argument, which everybody on the machine could read.
`;

const LAUNCH_HELP = `
Examples:
  $ lockstep launch -H host1:4,host2:8 train.ts
  $ lockstep launch --hosts-file hosts.txt train.ts --sync --run-dir runs/a
  $ lockstep launch -H localhost:1,localhost:1 train.ts      two nodes on this machine, without ssh

Runs the coordinator here, on loopback, and a node on every host by the system's ssh (keys or an agent: it asks for no passwords), with
a tunnel for each. A host is what ssh takes, with a number of workers behind a colon (default: all cores there). hosts.txt has one a line,
with comments behind #. The project, which is the current folder, must lie on the hosts (--remote-dir); --sync copies it, without .git
and runs. First every host is asked for its Node, its lockstep and the program that the job compiles to there. What nodes print comes
here with their name in front. When the command ends, whatever the reason, so do the nodes.
${CLUSTER_EXIT_CODES}`;

const COORDINATOR_HELP = `
Examples:
  $ lockstep coordinator train.ts --port 29400               nodes on this machine, or through tunnels
  $ lockstep coordinator train.ts --host train0.lan --tls-cert cert.pem --tls-key key.pem
  $ lockstep node wss://train0.lan:29400 train.ts --workers 8 --tls-ca ca.pem      on each machine

Owns the order of the steps, the optimizer, evaluation and checkpoints; nodes compute the gradients. --workers are the threads that
reduce and update. Nodes may come and go at any step; the result does not depend on them.
${TOKEN_HELP}${CLUSTER_EXIT_CODES}`;

const NODE_HELP = `
Examples:
  $ lockstep node ws://127.0.0.1:29400 train.ts --workers 8
  $ lockstep node - train.ts --preflight                     compile the job, print what all nodes must have in common

The job and its options (--set, --batch-size ...) must be those of the coordinator, which compares the compiled programs. With - in the
place of the address, the first line of standard input says address and token ({"url": ..., "token": ...}), and the node stops when
standard input ends: that is how lockstep launch starts it.
${TOKEN_HELP}${CLUSTER_EXIT_CODES}`;

const JOIN_HELP = `
Examples:
  $ srun lockstep join train.ts                              in a Slurm job: examples/launch/slurm.sbatch
  $ mpirun -n 3 lockstep join train.ts                       examples/launch/mpirun.sh
  $ lockstep join train.ts                                   in every pod: examples/launch/kubernetes-jobset.yaml

Every process of the run calls it. Rank 0 runs the coordinator and, beside it, a node; the others run nodes. Rank, size and the address
of rank 0 come from the environment: torchrun style (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), Slurm (SLURM_PROCID, SLURM_NTASKS, the
first host of SLURM_STEP_NODELIST), Open MPI and PMI (ranks from mpirun, the address by a file in a shared folder, --meet-in), Kubernetes
(JOB_COMPLETION_INDEX, WORLD_SIZE, HOSTNAME; JOBSET_* for a JobSet). MASTER_ADDR and MASTER_PORT win over what an engine says.
Options of the coordinator act on rank 0.
${TOKEN_HELP}${CLUSTER_EXIT_CODES}`;

/** `coordinator`, `node`, `join` and `launch`. */
export function addClusterCommands(
  add: (usage: string, description: string) => Command,
  work: Work,
  args: readonly string[],
): void {
  addCoordinatorOptions(addTrainOptions(add('launch <job>', 'train on several machines, by ssh')))
    .option('-H, --hosts <list>', 'host1:4,host2:8; localhost runs here without ssh')
    .option('--hosts-file <file>', 'the hosts, one a line')
    .option('--sync', 'copy the project to the hosts first (rsync, or tar over ssh)')
    .option('--remote-dir <folder>', 'the project on the hosts (default: the same path as here)')
    .option('--remote-node <path>', 'Node.js on the hosts', 'node')
    .option('--ssh-config <file>', 'in the place of ~/.ssh/config')
    .option('--no-preflight', 'do not ask the hosts first')
    .option(
      '--grace-ms <n>',
      'nodes that have not ended so long after the run are stopped, then killed',
      count(0),
      10_000,
    )
    .addHelpText('after', LAUNCH_HELP)
    .action((path: string, options: LaunchCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./launch.ts')).launchCommand(path, options, io, args), true);
    });
  addListenOptions(
    addCoordinatorOptions(addTrainOptions(add('coordinator <job>', 'lead a run whose nodes come by themselves'))),
  )
    .addHelpText('after', COORDINATOR_HELP)
    .action((path: string, options: CoordinatorCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./coordinator.ts')).coordinatorCommand(path, options, io, args), true);
    });
  addNodeOptions(addJobOptions(add('node <url> <job>', 'compute for a coordinator')))
    .option('--name <text>', 'tells the node apart in messages (default: the name of the machine)')
    .option('--preflight', 'compile the job, and print what all nodes must have in common as a line of JSON')
    .addHelpText('after', NODE_HELP)
    .action((url: string, path: string, options: NodeCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./node.ts')).nodeCommand(url, path, options, io), true);
    });
  addNodeOptions(
    addListenOptions(
      addCoordinatorOptions(addTrainOptions(add('join <job>', 'train as one rank of a cluster engine'))),
    ),
  )
    .option('--engine <name>', `where several contradict each other: ${ENGINES.join(', ')}`, choice(...ENGINES))
    .option('--meet-in <folder>', 'shared by all ranks, for engines that tell no address (default: the current folder)')
    .addHelpText('after', JOIN_HELP)
    .action((path: string, options: JoinCommandOptions, command: Command) => {
      work(command, async (io) => (await import('./join.ts')).joinCommand(path, options, io, args), true);
    });
}

/** What makes the run: for every command that runs a coordinator. */
function addCoordinatorOptions(command: Command): Command {
  return command
    .option('--min-nodes <n>', 'wait while there are fewer (default: 1)', count(1))
    .option(
      '--start-nodes <n>',
      'the first step waits for so many (default: --min-nodes; of launch and join: all)',
      count(1),
    )
    .option('--start-ms <n>', 'but no longer than this (default: 60000)', count(0))
    .option(
      '--farewell-ms <n>',
      'at the end wait so long for a node that was just lost, to tell it (default: 2000)',
      count(0),
    )
    .option('--mixed', 'admit nodes with other kernels: the bytes then depend on who computes')
    .option(
      '--wire <format>',
      `how floats cross the network: ${WIRE_FORMATS.join(', ')}; all but fp32 round, the bytes then depend on the nodes; auto: fp32, and says what others would gain (default: fp32)`,
      choice(...WIRE_FORMATS, 'auto'),
    )
    .option(
      '--sync-every <n>',
      'local steps: nodes make so many by themselves, then an outer optimizer follows the mean of how far they came; for slow links; the result depends on the nodes (default: 1)',
      count(1),
    )
    .option(
      '--sync-warmup <n>',
      'before that, so many steps of the job in rounds of one, say a tenth of all: what a long schedule loses by local steps it loses at its beginning (default: 0)',
      count(0),
    )
    .option(
      '--outer-lr <rate>',
      'learning rate of that optimizer; for rounds of some 8 steps 0.6, with momentum 0.7, is better (default: 0.7; with topk 1)',
      positive,
    )
    .option('--outer-momentum <n>', 'its Nesterov momentum, 0 to below 1 (default: 0.9; with topk 0)', atLeastZero)
    .option(
      '--no-local-socket',
      'nodes of this machine come by TCP, too, not by a Unix domain socket (for measurements that are to hold for other machines)',
    )
    .option('--stream-data', 'send nodes that have no copy of the data the rows of their shards, each row once')
    .option('--heartbeat-ms <n>', 'a sign of life goes out this often (default: 2000)', count(1))
    .option('--silence-ms <n>', 'a node from which nothing has come for so long is lost (default: 10000)', count(1))
    .option(
      '--step-ms <n>',
      'a node may take so long for its shards of a step; 0: 20 times as long as any took so far, at least a minute (default: 0)',
      count(0),
    )
    .option('--join-ms <n>', 'whoever connects proves itself within this (default: 30000)', count(1))
    .option('--quorum-ms <n>', 'with too few nodes for so long the run saves and ends (default: 600000)', count(1));
}

/** Where it listens. */
function addListenOptions(command: Command): Command {
  return command
    .option('--host <name>', 'name or address of this machine to listen at (default: 127.0.0.1)')
    .option('--port <n>', 'to listen at; 0: any that is free (default: 29400)', port)
    .option('--tls-cert <file>', 'certificate (PEM): nodes then dial wss://')
    .option('--tls-key <file>', 'its private key (PEM)')
    .option('--insecure', 'listen beyond loopback without TLS: frames are then neither secret nor authenticated')
    .option('--token-file <file>', "the run's token, in the place of LOCKSTEP_TOKEN");
}

function addNodeOptions(command: Command): Command {
  const known = command.options.map(({ long }) => long);
  if (!known.includes('--stream-data'))
    command.option('--stream-data', 'this machine has no copy of the data: take rows from the coordinator');
  if (!known.includes('--no-local-socket'))
    command.option('--no-local-socket', 'come by TCP to a coordinator on this machine, too');
  command
    .option('--tls-ca <file>', 'certificate (PEM) that vouches for the coordinator')
    .option('--reconnect-ms <n>', 'dial the coordinator for so long, then give up (default: 600000)', count(0));
  return known.includes('--token-file')
    ? command
    : command.option('--token-file <file>', "the run's token, in the place of LOCKSTEP_TOKEN");
}
