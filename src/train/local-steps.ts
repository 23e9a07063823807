import { LockstepError } from '../errors.ts';
import { type ResolvedOptimizer, resolveOptimizer } from '../optim/catalogue.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { plateauRule } from '../optim/schedules.ts';
import { nesterov, sgd } from '../optim/sgd.ts';
import { planSlots } from '../optim/slots.ts';
import { Calendar } from '../parallel/calendar.ts';
import type { Pace } from '../parallel/inner-steps.ts';
import type { RunningStatistic } from '../parallel/running-statistics.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import type { CompiledJob } from './compile.ts';

/** How nodes and coordinator divide the work with local steps. */
export interface LocalSteps {
  /** At least 2 steps a round. */
  readonly pace: Pace;
  /** Of the outer optimizer: Nesterov's momentum, or plain descent where it is 0. */
  readonly lr: number;
  readonly momentum: number;
}

/**
 * Outer optimizers: as DiLoCo found it best (Douillard et al. 2023, arXiv 2311.08105, section 3.2 and appendix), and for top-k. What that
 * leaves unsaid waits for some hundred rounds, and each of these comes to it again: momentum on top of this diverges (docs/wire.md).
 */
export const outerDefaults = (wire: WireFormat | 'auto'): Pick<LocalSteps, 'lr' | 'momentum'> =>
  wire === 'topk' ? { lr: 1, momentum: 0 } : { lr: 0.7, momentum: 0.9 };

/** A run of local steps, as its coordinator sees it. */
export interface LocalPlan {
  readonly pace: Pace;
  /** The optimizer that the coordinator runs; the job's is what every node runs by itself. */
  readonly outer: OptimizerDescription;
  readonly resolved: ResolvedOptimizer;
  /** Of the job; the plan counts in rounds. */
  readonly totalSteps: number;
}

/** @throws E_OPTION for a job that cannot be trained so. */
export function planLocalSteps(
  { pace, lr, momentum }: LocalSteps,
  optimizer: ResolvedOptimizer,
  bound: BoundOptimizer,
  compiled: Pick<CompiledJob, 'tensors' | 'rowTables' | 'totalSteps'>,
): LocalPlan {
  refuse(optimizer, bound, compiled);
  // Whatever the job freezes stays frozen; of several groups that match a name the first counts.
  const rules = optimizer.rules.groups.map(({ match, freeze }) => ({ match, ...(freeze === true && { freeze }) }));
  const groups = rules.some(({ freeze }) => freeze) ? { groups: rules } : {};
  const outer = momentum > 0 ? nesterov({ lr, momentum, ...groups }) : sgd({ lr, ...groups });
  return { pace, outer, resolved: resolveOptimizer(outer), totalSteps: compiled.totalSteps };
}

/** The compiled job of a coordinator, whose steps are rounds. */
export function inRounds(compiled: CompiledJob, { pace }: LocalPlan): CompiledJob {
  const calendar = new Calendar(compiled.calendar.course, pace);
  return { ...compiled, calendar, totalSteps: calendar.totalSteps };
}

/**
 * Running statistics follow the moments of the last inner step of each round; so that they forget as fast as with those of every step,
 * these weigh more.
 */
export function statisticsOfRounds(statistics: readonly RunningStatistic[], { pace }: LocalPlan): RunningStatistic[] {
  return statistics.map((statistic) => {
    let kept = 1;
    for (let i = 0; i < pace.every; i++) kept *= 1 - statistic.momentum;
    return { ...statistic, momentum: 1 - kept };
  });
}

/** What is said when a run begins. */
export function localNote({ pace: { every }, outer }: LocalPlan, { calendar }: Pick<CompiledJob, 'calendar'>): string {
  const { kind, lr, momentum } = outer;
  const most = Math.min(every, calendar.course.stepsPerEpoch);
  const shorter = most < every ? ` (${most}, as many as an epoch has)` : '';
  return (
    `local steps: nodes make ${every}${shorter} steps by themselves, then ${kind} with lr ${lr}` +
    `${momentum === undefined ? '' : ` and momentum ${momentum}`} follows the mean of how far they came, which counts as one step; ` +
    'the result depends on which nodes take part'
  );
}

/** The parameters change beneath a node's optimizer: one that keeps others, or a copy, would go astray. */
function refuse(
  { schedule }: ResolvedOptimizer,
  bound: BoundOptimizer,
  { tensors, rowTables }: Pick<CompiledJob, 'tensors' | 'rowTables'>,
): void {
  const { def } = bound;
  const copies = planSlots(bound, tensors).find(({ inits }) => inits.includes('parameter'));
  const found =
    (def.drive && `${def.kind}, which makes several gradients a step`) ||
    (def.evalParameters && `${def.kind}, which evaluates with other parameters than it trains`) ||
    (copies && `${def.kind}, whose slot ${copies.name} begins as a copy of the parameters`) ||
    (plateauRule(schedule) && 'a learning rate that follows evaluations, which nodes do not make');
  if (found) {
    throw cannot('optimizer', 'an optimizer that nodes can run by themselves', found, 'use adamw, adam or sgd');
  }
  if (rowTables.length === 0) return;
  const { name } = tensors[rowTables[0].tensor];
  throw cannot('model', 'dense gradients', `${name}, a table with a sparse one`, 'embedding(..., { sparse: false })');
}

function cannot(where: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_OPTION', {
    where: `syncEvery (--sync-every): ${where}`,
    expected,
    got,
    fix: `${fix}, or leave the option out`,
  });
}
