import { LockstepError } from '../../src/errors.ts';
import { ENGINES, type EngineName, type Environment, type Place, READERS } from './engines.ts';

/** They start processes themselves: inside a job of a scheduler theirs are the ranks that count. */
const STARTERS: readonly EngineName[] = ['openmpi', 'pmi'];

/**
 * Finds out of the environment which rank of how many this process is, and where rank 0 is. Pure.
 *
 * Engines nest: mpirun in a Slurm job starts its daemons as tasks of Slurm, whose variables the ranks inherit. So what starts
 * processes goes before what allocates hosts. Where two engines of one level contradict each other, nobody can know which is right.
 *
 * @throws E_PLACE that names the variables which are missing or contradict each other.
 */
export function findPlace(env: Environment, engine?: EngineName): Place {
  if (engine !== undefined) return READERS[engine](env) ?? notThere(engine);
  const { places, problems } = readAll(env);
  const given = places.find((place) => place.engine === 'torchrun');
  const started = places.filter(
    ({ engine }) => STARTERS.includes(engine) || (given && isTorchrun(env) && engine === 'torchrun'),
  );
  const scheduled = places.filter((place) => !started.includes(place) && place !== given);
  const chosen = started.length > 0 ? startedPlace(started, scheduled) : agreed(scheduled);
  if (chosen === undefined && given === undefined) throw problems[0] ?? nothing();
  if (chosen === undefined || given === undefined) return checked(env, chosen ?? given ?? notThere('torchrun'));
  // Set by hand, and complete: it says where rank 0 is, which others may not.
  return agreed([given, chosen]) ?? given;
}

function readAll(env: Environment): { places: Place[]; problems: unknown[] } {
  const places: Place[] = [];
  const problems: unknown[] = [];
  for (const engine of ENGINES) {
    try {
      const place = READERS[engine](env);
      if (place) places.push(place);
    } catch (error) {
      problems.push(error); // another engine may know more: the variables of an enclosing job are often half there
    }
  }
  return { places, problems };
}

/** Started by torchrun itself, not set by hand. */
function isTorchrun(env: Environment): boolean {
  return env.TORCHELASTIC_RUN_ID !== undefined;
}

function startedPlace(started: readonly Place[], scheduled: readonly Place[]): Place | undefined {
  const place = agreed(started);
  const slurm = scheduled.find(({ engine }) => engine === 'slurm');
  // srun --mpi=pmi2 sets PMI variables too: then Slurm knows the address. Other numbers are those of Hydra's own proxies.
  if (place?.engine === 'pmi' && slurm?.size === place.size) return agreed([slurm, place]);
  return place;
}

/** The first of them, if all say the same. */
function agreed(places: readonly Place[]): Place | undefined {
  const [first, ...others] = places;
  const other = others.find(({ rank, size }) => rank !== first.rank || size !== first.size);
  if (other) throw contradiction(first.says, other.says);
  return first;
}

/** RANK or WORLD_SIZE alone make no place, but must not contradict one. */
function checked(env: Environment, place: Place): Place {
  for (const [name, value] of [
    ['RANK', place.rank],
    ['WORLD_SIZE', place.size],
  ] as const) {
    const text = env[name];
    if (text !== undefined && text !== String(value)) throw contradiction(place.says, `${name}=${text}`);
  }
  return place;
}

function contradiction(one: string, other: string): LockstepError {
  return new LockstepError('E_PLACE', {
    where: 'environment',
    expected: `one rank and size for this process (${one})`,
    got: `also ${other}`,
    fix: 'unset the variables that are wrong, or name the engine that is right with --engine',
  });
}

function nothing(): LockstepError {
  return new LockstepError('E_PLACE', {
    where: 'environment',
    expected:
      'the variables of an engine: RANK (torchrun), OMPI_COMM_WORLD_RANK, PMI_RANK, SLURM_PROCID or JOB_COMPLETION_INDEX',
    got: 'none of them',
    fix: 'start it with srun, mpirun, torchrun or a Kubernetes Job; by hand use lockstep coordinator and lockstep node',
  });
}

function notThere(engine: EngineName): never {
  throw new LockstepError('E_PLACE', {
    where: `--engine ${engine}`,
    expected: `the variables of ${engine}`,
    got: 'none of them',
    fix: 'start it under that engine, or leave --engine out',
  });
}
