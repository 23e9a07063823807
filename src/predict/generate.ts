import { joinTokens, known, splitTokens, type TextPart } from '../data/tokens.ts';
import { LockstepError } from '../errors.ts';
import { exp, log, philox4x32 } from '../kernels/math.ts';

export interface GenerateOptions {
  /** How many tokens to add. Default 200. */
  readonly tokens?: number;
  /** Below 1 the probable ones become more probable; 0 always takes the most probable one. Default 1. */
  readonly temperature?: number;
  /** Choose among the k most probable tokens only. Default: all. */
  readonly topK?: number;
  /** The text follows from it, the prompt and the model. Default 1. */
  readonly seed?: number;
  /** Is given each piece of text as it is made. */
  readonly onText?: (text: string) => void;
  readonly signal?: AbortSignal;
}

/** A model that says which token follows: probabilities of all tokens after the last of `ids` (at most `length` of them). */
export interface NextToken {
  readonly part: TextPart;
  probabilities(ids: readonly number[]): Float32Array;
  /** A moment for others, between two tokens. */
  rest(): Promise<void>;
}

const DEFAULTS = { tokens: 200, temperature: 1, seed: 1 };
const OPTIONS = ['tokens', 'temperature', 'topK', 'seed', 'onText', 'signal'];

/**
 * Continues a prompt token by token. The model sees the last `length` tokens. The same prompt, options and seed give the same text
 * on the same kernels.
 *
 * @throws LockstepError E_OPTION, E_DATA_VALUE for a prompt with a token that the training text lacks, E_ABORTED.
 */
export async function generateText(model: NextToken, prompt: string, options: GenerateOptions): Promise<string> {
  const { tokens, temperature, topK, seed } = checkOptions(options);
  const { part } = model;
  const ids = promptIds(part, prompt);
  const pick = sampler(temperature, topK, seed);
  const made: string[] = [];
  let told = 0;
  for (let i = 0; i < tokens; i++) {
    await model.rest();
    if (options.signal?.aborted) throw aborted(options.signal.reason);
    const id = pick(model.probabilities(ids.slice(-part.length)), i);
    ids.push(id);
    made.push(part.vocabulary[id]);
    if (options.onText) {
      // A character may be several bytes: what is not whole yet waits.
      const text = joinTokens(part.tokens, made);
      const whole = part.tokens === 'bytes' && i + 1 < tokens ? text.replace(/\uFFFD+$/u, '') : text;
      if (whole.length > told) options.onText(whole.slice(told));
      told = Math.max(told, whole.length);
    }
  }
  return joinTokens(part.tokens, made);
}

function promptIds(part: TextPart, prompt: unknown): number[] {
  const tokens = typeof prompt === 'string' ? splitTokens(part.tokens, prompt) : [];
  if (tokens.length === 0)
    throw wrong('prompt', 'a text of at least one token', prompt === '' ? 'an empty one' : prompt);
  return tokens.map((token) => known(part, token, 'generate: prompt'));
}

/** Draws token `i` of a text: Philox of (seed, i), so that no draw depends on how others were made. */
function sampler(
  temperature: number,
  topK: number | undefined,
  seed: number,
): (probabilities: Float32Array, i: number) => number {
  const counter = new Uint32Array(4);
  const key = Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32));
  const random = new Uint32Array(4);
  return (probabilities, i) => {
    const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
    if (temperature === 0) return order[0];
    const kept = order.slice(0, topK);
    const most = log(probabilities[kept[0]]);
    const weights = kept.map((id) => exp((log(probabilities[id]) - most) / temperature));
    counter[0] = i;
    philox4x32(counter, key, random);
    let left = (random[0] / 2 ** 32) * weights.reduce((sum, w) => sum + w, 0);
    const chosen = weights.findIndex((w) => {
      left -= w;
      return left < 0;
    });
    return kept[Math.max(0, chosen)];
  };
}

function checkOptions(options: GenerateOptions) {
  const strange = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (strange !== undefined) throw wrong(strange, `only the options ${OPTIONS.join(', ')}`, 'another one');
  const { tokens = DEFAULTS.tokens, temperature = DEFAULTS.temperature, topK, seed = DEFAULTS.seed } = options;
  if (!(Number.isInteger(tokens) && tokens >= 1)) throw wrong('tokens', 'an integer of at least 1', tokens);
  if (!(temperature >= 0 && Number.isFinite(temperature)))
    throw wrong('temperature', 'a number of at least 0', temperature);
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1))
    throw wrong('topK', 'an integer of at least 1', topK);
  if (!(Number.isSafeInteger(seed) && seed >= 0)) throw wrong('seed', 'an integer of at least 0', seed);
  return { tokens, temperature, topK, seed };
}

function wrong(option: string, expected: string, got: unknown): LockstepError {
  return new LockstepError('E_OPTION', { where: `generate: ${option}`, expected, got: String(got), fix: 'correct it' });
}

function aborted(cause: unknown): LockstepError {
  return new LockstepError('E_ABORTED', {
    where: 'generate',
    expected: 'to finish the text',
    got: 'an abort',
    fix: 'call it again',
    cause,
  });
}
