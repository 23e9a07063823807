/** What the catalogue says about an optimizer, as plain data: `lockstep optimizers` prints it. */
import { z } from 'zod';
import { closest, LockstepError } from '../errors.ts';
import type { TensorEntry } from '../graph/program.ts';
import { sizeOf } from '../graph/tensor.ts';
import { OPTIMIZERS, resolveOptimizer, WRAPPERS } from './catalogue.ts';
import type { Compat, OptimizerAbout, OptimizerDef } from './contract.ts';
import { bindOptimizer } from './groups.ts';

export interface OptimizerFacts extends OptimizerAbout {
  readonly kind: string;
  /** Goes around another optimizer: `ema(adam())`. */
  readonly wraps: boolean;
  /** Absent: it must be given. */
  readonly defaultLr?: number;
  /** State with default options, of a hidden matrix of 512 x 512; of a wrapper, what it adds. */
  readonly slots: readonly { readonly name: string; readonly bytesPerParameter: number }[];
  readonly bytesPerParameter: number;
  readonly options: readonly OptionFacts[];
  /** What `compat` changes, by framework; an empty object: nothing. */
  readonly compat: Readonly<Partial<Record<Compat, Readonly<Record<string, unknown>>>>>;
  /** Updates the rows of sparse gradients alone. */
  readonly sparse: boolean;
  /** Needs every batch to be all rows. */
  readonly fullBatch: boolean;
}

export interface OptionFacts {
  readonly name: string;
  /** Absent: it has none. */
  readonly default?: unknown;
  /** 'a number >= 0 and < 1', 'true or false' ... */
  readonly allowed: string;
}

/** Side of the matrix that bytes are counted for. */
const SIDE = 512;

/** All of the catalogue, in its order, then the wrappers. */
export function allOptimizerFacts(): OptimizerFacts[] {
  return [...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)].map(optimizerFacts);
}

/** @throws E_OPTION for a name that is not in the catalogue, with the closest known one. */
export function optimizerFacts(kind: string): OptimizerFacts {
  const wrapper = Object.hasOwn(WRAPPERS, kind) ? WRAPPERS[kind] : undefined;
  if (wrapper !== undefined) {
    const slots = slotsOf(wrapper.wrap(OPTIMIZERS.sgd), { base: OPTIMIZERS.sgd.options.parse({}) });
    return {
      ...common(kind, wrapper.about, slots, wrapper.options),
      wraps: true,
      compat: {},
      sparse: false,
      fullBatch: false,
    };
  }
  const def = Object.hasOwn(OPTIMIZERS, kind) ? OPTIMIZERS[kind] : undefined;
  if (def?.about === undefined) throw unknownOptimizer(kind);
  const { options } = resolveOptimizer({ kind, lr: 1 });
  return {
    ...common(kind, def.about, slotsOf(def, options), def.options),
    wraps: false,
    ...(def.defaultLr !== undefined && { defaultLr: def.defaultLr }),
    compat: def.compat ?? {},
    sparse: def.sparseKernel?.(options) !== undefined,
    fullBatch: def.fullBatch === true,
  };
}

function common(kind: string, about: OptimizerAbout, slots: OptimizerFacts['slots'], options: z.ZodType) {
  const { rule, when, limits, paper } = about;
  const bytesPerParameter = slots.reduce((sum, slot) => sum + slot.bytesPerParameter, 0);
  return { kind, rule, when, limits, paper, slots, bytesPerParameter, options: optionsOf(options) };
}

/** Of the matrix in the middle: what is special about first and last layers does not count. */
function slotsOf(def: OptimizerDef, options: object): OptimizerFacts['slots'] {
  const size = SIDE * SIDE;
  const tensors = ['first', 'hidden', 'last'].map(
    (layer, i): TensorEntry => ({
      name: `${layer}/weight`,
      shape: [SIDE, SIDE],
      size,
      offset: i * size,
      init: { kind: 'constant', value: 0 },
      group: 0,
    }),
  );
  const bound = bindOptimizer({ def, options, schedule: 1, rules: { groups: [], noDecay: [] } }, tensors);
  return Object.entries(def.slots(bound.groups[0].options, tensors[1])).map(([name, { shape = [SIDE, SIDE] }]) => ({
    name,
    bytesPerParameter: (4 * sizeOf(shape)) / size,
  }));
}

const limits = {
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  exclusiveMaximum: z.number().optional(),
};
/** As much of JSON Schema as the options of optimizers come to. */
const property = z.looseObject({
  type: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  ...limits,
  prefixItems: z.array(z.looseObject({ type: z.string().optional(), ...limits })).optional(),
});
type Property = z.output<typeof property>;

function optionsOf(schema: z.ZodType): OptionFacts[] {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  return Object.entries(properties).map(([name, described]) => {
    const option = property.parse(described);
    const known = option.default === undefined ? {} : { default: option.default };
    return { name, ...known, allowed: allowed(option) };
  });
}

function allowed(option: Property): string {
  if (option.enum) return option.enum.map((value) => `'${value}'`).join(' or ');
  if (option.type === 'boolean') return 'true or false';
  if (option.type === 'integer') return `a whole number${range(option)}`;
  if (option.type === 'number') return `a number${range(option)}`;
  if (option.prefixItems) {
    const parts = option.prefixItems.map((item) => range(item).trim());
    const alike = parts.every((part) => part === parts[0]);
    return `${parts.length} numbers${alike ? `, each ${parts[0]}` : `: ${parts.join('; ')}`}`;
  }
  return option.type === 'array' ? 'a list of names' : 'see its documentation';
}

function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: Omit<Property, 'default'>): string {
  const low = exclusiveMinimum !== undefined ? `> ${exclusiveMinimum}` : minimum !== undefined ? `>= ${minimum}` : '';
  const bounded = maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER; // what zod writes for any integer
  const high = exclusiveMaximum !== undefined ? `< ${exclusiveMaximum}` : bounded ? `<= ${maximum}` : '';
  const both = [low, high].filter((part) => part !== '').join(' and ');
  return both === '' ? '' : ` ${both}`;
}

function unknownOptimizer(kind: string): LockstepError {
  const known = [...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)];
  const guess = closest(kind, known);
  return new LockstepError('E_OPTION', {
    where: 'lockstep optimizers',
    expected: `one of ${known.join(', ')}`,
    got: `'${kind}'`,
    fix: guess === undefined ? 'see lockstep optimizers for what each does' : `did you mean '${guess}'?`,
  });
}
