/**
 * The flags of this process that are about its own program: a worker has another one, and with them would refuse to begin, run this one's again,
 * or wait for a debugger on a port that is taken. Not given to workers where `execArgv` says nothing, and left out of this process's NODE_OPTIONS.
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

/** For a child process: those of its variables. NODE_OPTIONS that differ from this process's are meant for it, and stay. */
export function inheritedEnv(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_OPTIONS } = env;
  return NODE_OPTIONS === undefined || NODE_OPTIONS !== process.env.NODE_OPTIONS
    ? env
    : { ...env, NODE_OPTIONS: inheritedFlags(splitOptions(NODE_OPTIONS)).map(quoteOption).join(' ') };
}

/**
 * A thread has all of them, for those of V8 cannot be given again. Node leaves out what it does not want, but for `--input-type`, with which a
 * thread takes only text for a program. `execArgv` of its own replaces those of the command line only.
 */
export function takesOnlyText(hasExecArgv: boolean, env: NodeJS.ProcessEnv | undefined): boolean {
  const options = [process.env, env ?? {}].flatMap(({ NODE_OPTIONS = '' }) => splitOptions(NODE_OPTIONS));
  return [...(hasExecArgv ? [] : process.execArgv), ...options].some((flag) => /^--input-type(=|$)/.test(flag));
}

/** As node reads NODE_OPTIONS: arguments are apart by spaces outside of quotes, and inside a backslash takes the next character as it is. */
function splitOptions(text: string): string[] {
  const options: string[] = [];
  for (const [option] of text.matchAll(/(?:[^ "]|"(?:[^"\\]|\\.)*"?)+/gs)) {
    options.push(
      option.replaceAll(/"((?:[^"\\]|\\.)*)"?/gs, (_, quoted: string) => quoted.replaceAll(/\\(.)/gs, '$1')),
    );
  }
  return options;
}

function quoteOption(option: string): string {
  return /[ "]/.test(option) ? `"${option.replaceAll(/["\\]/g, '\\$&')}"` : option;
}
