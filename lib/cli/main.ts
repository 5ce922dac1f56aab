#!/usr/bin/env node
/** The command `gammaloop`: finds the subcommand and runs it. Each command is a module of its own, loaded when it is asked for. */
import { CommandError } from './command-error.js';

type Command = (args: string[]) => Promise<void>;

const COMMANDS: Record<string, { load(): Promise<Command>; summary: string }> = {
  worker: {
    load: async () => (await import('./worker.js')).worker,
    summary: 'run the functions of a module for requests that come through a port',
  },
};

function usage(): string {
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return `Usage: gammaloop <command> [options]\n\nCommands:\n${lines.join('\n')}\n\ngammaloop <command> --help tells its options.`;
}

async function main([name, ...args]: string[]): Promise<void> {
  if (name === undefined || name === '--help' || name === '-h') {
    console.log(usage());
    return;
  }
  if (!Object.hasOwn(COMMANDS, name)) throw new CommandError(`there is no command '${name}'\n\n${usage()}`);
  const command = await COMMANDS[name]?.load();
  await command?.(args);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const mistaken = error instanceof CommandError;
  console.error(`gammaloop: ${mistaken ? error.message : ((error as Error).stack ?? error)}`);
  process.exitCode = mistaken ? 2 : 1;
}
