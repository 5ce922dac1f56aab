/**
 * The flags of this process that are about its own program: a worker has another one, and with them would refuse to begin, run this one's again,
 * or wait for a debugger on a port that is taken. Not given to workers where `execArgv` says nothing.
 */

const PROGRAM =
  /^(-e|--eval|-p|--print|-pe|-i|--interactive|--input-type|--inspect(-.*)?|--test(-.*)?|--watch(-.*)?)(=|$)/;
/** Of those, what may have its value as the next argument. */
const TAKES_NEXT =
  /^(-e|--eval|-p|--print|-pe|--input-type|--inspect-port|--test-(name|skip)-pattern|--test-reporter.*|--watch-path)$/;

/** For a child process. */
export function inheritedFlags(flags: readonly string[] = process.execArgv): string[] {
  const inherited: string[] = [];
  for (let index = 0; index < flags.length; index++) {
    const flag = flags[index]!;
    if (!PROGRAM.test(flag)) inherited.push(flag);
    else if (TAKES_NEXT.test(flag)) index++;
  }
  return inherited;
}

/**
 * A thread has all of them, for those of V8 cannot be given again. Node leaves out what it does not want, but for `--input-type`, with which a
 * thread takes only text for a program.
 */
export function takesOnlyText(flags: readonly string[] = process.execArgv): boolean {
  return flags.some((flag) => /^--input-type(=|$)/.test(flag));
}
