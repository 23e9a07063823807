import { nodePlatform } from '../predict/node-platform.ts';
import { loadPredictor } from '../predict/predictor.ts';
import type { Io } from './io.ts';

export interface GenerateCommandOptions {
  readonly prompt: string;
  readonly tokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly seed?: number;
  readonly best?: string;
}

/** `lockstep generate <model>`: prints the prompt and its continuation, token by token. */
export async function generateCommand(model: string, options: GenerateCommandOptions, io: Io): Promise<void> {
  const { prompt, best, ...sampling } = options;
  const predictor = await loadPredictor(model, best === undefined ? {} : { best }, nodePlatform);
  try {
    let written = Promise.resolve();
    let begun = false;
    const write = (text: string): void => {
      const shown = begun ? text : prompt + text; // nothing is shown of a prompt that is refused
      begun = true;
      written = written.then(() => io.write(shown));
    };
    await predictor.generate(prompt, { ...sampling, onText: write, signal: io.stop });
    await written;
    await io.write('\n');
  } finally {
    predictor.dispose();
  }
}
