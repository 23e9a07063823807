/** Loads each job named on the command line, in a process where nothing else transforms modules, and prints what came of it. */
import { loadJob } from '../../src/cli/load-job.ts';

const results = [];
for (const path of process.argv.slice(2)) {
  try {
    const { job, module } = await loadJob(path);
    results.push({ steps: job.steps, module });
  } catch (error) {
    const { name, code, message } = error as { name: string; code: string; message: string };
    results.push({ name, code, message });
  }
}
process.stdout.write(JSON.stringify(results));
