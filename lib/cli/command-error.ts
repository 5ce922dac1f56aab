/** The command was given wrongly: its message is all that is printed, and the exit code is 2. */
export class CommandError extends Error {}
