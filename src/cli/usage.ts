import type { Command, CommanderError } from 'commander';
import { closest, LockstepError } from '../errors.ts';

/** A command line that means nothing: exit code 2. */
export class UsageError extends LockstepError {}

/** What commander found wrong, as an error of ours with the closest known name. */
export function usageError(error: CommanderError, program: Command, args: readonly string[]): UsageError {
  const names = program.commands.map((command) => command.name());
  const command = program.commands.find((c) => args.includes(c.name()));
  const help = command ? `see lockstep ${command.name()} --help` : 'see lockstep --help';
  const quoted = [...error.message.matchAll(/'([^']*)'/g)].map((match) => match[1]);
  switch (error.code) {
    case 'commander.help':
      return usage('command', `one of ${commandNames(program)}`, 'none', 'see lockstep --help');
    case 'commander.unknownCommand': {
      const near = closest(quoted[0], names);
      const fix = near === undefined ? help : `did you mean "${near}"?`;
      return usage('command', `one of ${commandNames(program)}`, `"${quoted[0]}"`, fix);
    }
    case 'commander.unknownOption': {
      const flags = [program, ...(command ? [command] : [])].flatMap((c) => c.options.map((o) => o.long ?? ''));
      const near = closest(quoted[0], ['--help', ...flags]);
      return usage(
        `option ${quoted[0]}`,
        command ? `an option of lockstep ${command.name()}` : 'an option of lockstep',
        'an unknown one',
        near === undefined ? help : `did you mean ${near}?`,
      );
    }
    case 'commander.missingArgument':
      return usage(
        `lockstep ${command?.name() ?? ''}`,
        quoted[0] === 'job' ? 'the file of a job' : `<${quoted[0]}>`,
        'nothing',
        help,
      );
    case 'commander.optionMissingArgument':
      return usage(`option ${quoted[0]}`, 'a value', 'nothing', help);
    case 'commander.invalidArgument':
      return usage(
        `option ${quoted[0]}`,
        error.message.replace(/^.* is invalid\. /s, ''),
        JSON.stringify(quoted[1] ?? ''),
        help,
      );
    case 'commander.excessArguments':
      return excessArguments(command?.name() ?? '', error.message, help);
    default:
      return usage('command line', 'a command that lockstep knows', error.message.replace(/^error: /, ''), help);
  }
}

/** commander: "too many arguments for 'train'. Expected 1 argument but got 2." */
function excessArguments(command: string, message: string, help: string): UsageError {
  const [, expected, got] = /Expected (\d+) arguments? but got (\d+)/.exec(message) ?? [];
  return usage(
    `lockstep ${command}`,
    expected === '1' ? '1 argument' : `${expected ?? 'fewer'} arguments`,
    got ?? 'more',
    help,
  );
}

export function commandNames(program: Command): string {
  return program.commands.map((command) => command.name()).join(', ');
}

export function usage(where: string, expected: string, got: string, fix: string): UsageError {
  return new UsageError('E_OPTION', { where, expected, got, fix });
}
