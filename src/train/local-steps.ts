import { LockstepError } from '../errors.ts';
import { type ResolvedOptimizer, resolveOptimizer } from '../optim/catalogue.ts';
import type { OptimizerDescription } from '../optim/contract.ts';
import type { BoundOptimizer } from '../optim/groups.ts';
import { piecewiseConstant } from '../optim/schedule-functions.ts';
import { plateauRule } from '../optim/schedules.ts';
import { nesterov, sgd } from '../optim/sgd.ts';
import { planSlots } from '../optim/slots.ts';
import { Calendar } from '../parallel/calendar.ts';
import type { Pace } from '../parallel/inner-steps.ts';
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
export interface LocalPlan extends LocalSteps {
  /** The optimizer that the coordinator runs; the job's is what every node runs by itself. */
  readonly outer: OptimizerDescription;
  readonly resolved: ResolvedOptimizer;
  /** Twice the gradients take a node twice as far (warmup-rate.ts). */
  readonly proportional: boolean;
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
  // In the warm-up what nodes come to in one step is followed at once, as if it were the step of all (warmup-rate.ts).
  const { warmup } = pace;
  const rate = warmup > 0 ? piecewiseConstant({ boundaries: [warmup], values: [1, lr] }) : lr;
  const late = warmup > 0 ? { momentumAfter: warmup } : {};
  const outer = momentum > 0 ? nesterov({ lr: rate, momentum, ...late, ...groups }) : sgd({ lr: rate, ...groups });
  const { def } = optimizer;
  const ofPlan = { proportional: def.proportional === true, totalSteps: compiled.totalSteps };
  return { pace, lr, momentum, outer, resolved: resolveOptimizer(outer), ...ofPlan };
}

/** The compiled job of a coordinator, whose steps are rounds. */
export function inRounds(compiled: CompiledJob, { pace }: LocalPlan): CompiledJob {
  const calendar = new Calendar(compiled.calendar.course, pace);
  return { ...compiled, calendar, totalSteps: calendar.totalSteps };
}

/** What is said when a run begins. */
export function localNote(
  { pace, lr, momentum, outer }: LocalPlan,
  { calendar }: Pick<CompiledJob, 'calendar'>,
): string {
  const { every, warmup } = pace;
  const most = Math.min(every, calendar.course.stepsPerEpoch);
  const shorter = most < every ? ` (${most}, as many as an epoch has)` : '';
  return (
    `local steps: nodes make ${every}${shorter} steps by themselves, then ${outer.kind} with lr ${lr}` +
    `${momentum > 0 ? ` and momentum ${momentum}` : ''} follows the mean of how far they came, which counts as one step; ` +
    `${warmup > 0 ? `in the first ${warmup} steps they make one each, which is followed at once; ` : ''}` +
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
