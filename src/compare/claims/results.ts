import { z } from 'zod';
import { real } from '../journal.ts';

const cell = z.union([real, z.string(), z.boolean(), z.null()]);

/** What claims.json holds: raw results of every experiment. */
export const claimsSchema = z.object({
  kind: z.literal('lockstep-claims'),
  version: z.literal(1),
  lockstep: z.string(),
  command: z.string(),
  createdAt: z.string(),
  machine: z.object({ cpu: z.string(), cores: z.number(), platform: z.string(), node: z.string() }),
  /** True where seeds were left out: the verdicts mean nothing. */
  quick: z.boolean(),
  experiments: z.record(
    z.string(),
    z.object({
      seconds: z.number(),
      /** When and where it was run: with --resume not all at once. */
      createdAt: z.string(),
      cpu: z.string(),
      table: z.object({ columns: z.array(z.string()), rows: z.array(z.array(cell)) }),
    }),
  ),
});

export type ClaimsResults = z.output<typeof claimsSchema>;
