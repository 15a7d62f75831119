import type { Command } from 'commander';
import { readConfig } from '../config.ts';
import { addCommand, print } from './context.ts';
import { table } from './table.ts';

export function register(program: Command): void {
  const command = addCommand(program, {
    name: 'config',
    description: 'show the settings in force and where each comes from; passwords are masked',
    examples: ['config', 'config --json'],
  });
  command.action(() => {
    const { settings } = readConfig();
    print(command, settings, (all) =>
      table(
        ['setting', 'value', 'from'],
        all.map(({ name, value, source }) => [name, value, source]),
      ),
    );
  });
}
