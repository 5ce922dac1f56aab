/** Programs of their own, which run the sources: plain on node, or with the register hook. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

const loader = new URL('ts-loader.mjs', import.meta.url).href;
const register = new URL('../../lib/register.ts', import.meta.url).href;
export const httpModule = new URL('../../lib/drop-in/http.ts', import.meta.url).href;
export const netModule = new URL('../../lib/net/index.ts', import.meta.url).href;
export const installModule = new URL('../../lib/drop-in/install.ts', import.meta.url).href;
export const statsModule = new URL('../../lib/drop-in/stats.ts', import.meta.url).href;

/** How a child's node:http is made: node's own, ours, or ours that falls back. */
export const hooks = ['plain', 'native', 'node'] as const;
export type Hook = (typeof hooks)[number];

export const wantedHooks: Hook[] = hooks.filter(
  (hook) => hook === 'plain' || (process.env['GAMMALOOP_TEST_BACKENDS'] || 'node,native').split(',').includes(hook),
);

/** The same with node:net on the engine too. */
export function nodeNetArgs(hook: Hook): string[] {
  const registerNet = new URL('../../lib/register-net.ts', import.meta.url).href;
  return ['--no-warnings', '--import', loader, ...(hook === 'plain' ? [] : ['--import', registerNet])];
}

/** Node's arguments; children of the child get the same by execArgv. */
export function nodeArgs(hook: Hook): string[] {
  return ['--no-warnings', '--import', loader, ...(hook === 'plain' ? [] : ['--import', register])];
}

export interface Program {
  readonly child: ChildProcess;
  /** The next line that it prints. */
  line(): Promise<string>;
  /** Waits for its end; everything that it printed and nobody has read. */
  end(): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>;
  stop(): Promise<void>;
}

/** `code`: an ES module. */
export function runProgram(
  code: string,
  hook: Hook,
  { env = {}, stdio = [] }: { env?: NodeJS.ProcessEnv; stdio?: number[] } = {},
): Program {
  const child = spawn(process.execPath, [...nodeArgs(hook), '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'pipe', ...stdio],
    env: { ...process.env, GAMMALOOP_BACKEND: hook === 'plain' ? '' : hook, ...env },
  });
  let stdout = '';
  let stderr = '';
  let wake = (): void => {};
  let isOver = false;
  const closed = once(child, 'close').then(([code, signal]) => {
    isOver = true;
    wake();
    return { code, signal };
  });
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
    wake();
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  return {
    child,
    async line() {
      for (;;) {
        const at = stdout.indexOf('\n');
        if (at !== -1) {
          const line = stdout.slice(0, at);
          stdout = stdout.slice(at + 1);
          return line;
        }
        if (isOver) throw new Error(`The program ended: ${stdout}${stderr}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async end() {
      return { ...(await closed), stdout, stderr };
    },
    async stop() {
      if (!isOver) child.kill('SIGKILL');
      await closed;
    },
  };
}
