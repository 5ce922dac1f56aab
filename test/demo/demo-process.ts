/** Runs examples/demo/server.mjs as its users do: a process of its own, on a free port, stopped by signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { ServerStats } from '../../lib/index.js';
import type { BackendName } from '../support/backends.js';

const SCRIPT = fileURLToPath(new URL('../../examples/demo/server.mjs', import.meta.url));

const running = new Set<DemoProcess>();

/** Ends what a test has left running. */
afterEach(async () => {
  for (const demo of running) {
    demo.kill('SIGKILL');
    await demo.exited;
  }
});

export class DemoProcess {
  stdout = '';
  stderr = '';
  /** The exit code, or the signal that ended the process. */
  readonly exited: Promise<number | NodeJS.Signals>;
  #url: string | null = null;
  #ended = false;
  #onChange: Set<() => void> = new Set();
  readonly #child: ChildProcess;

  constructor(backend: BackendName, env: Record<string, string> = {}) {
    const child = spawn(process.execPath, [SCRIPT], {
      env: { ...process.env, HOST: '', PORT: '0', GAMMALOOP_BACKEND: backend, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#changed();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    running.add(this);
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(this);
        this.#ended = true;
        this.#changed();
        resolve(code ?? (signal as NodeJS.Signals));
      });
    });
  }

  /** Where it serves, once it has said so. */
  get url(): string {
    if (this.#url === null) throw new Error('the demo has not started');
    return this.#url;
  }

  async started(): Promise<this> {
    const [, url] = await this.printed(/^gammaloop demo: (http:\S+)\n[\s\S]*Ctrl-C/);
    this.#url = url as string;
    return this;
  }

  /** Resolves when standard output matches; rejects when the process ends without. */
  printed(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const match = pattern.exec(this.stdout);
        if (match === null && !this.#ended) return;
        this.#onChange.delete(check);
        if (match !== null) resolve(match);
        else reject(new Error(`the demo ended before it printed ${pattern}:\n${this.stdout}${this.stderr}`));
      };
      this.#onChange.add(check);
      check();
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  closeStdout(): void {
    this.#child.stdout?.destroy();
  }

  async stats(): Promise<ServerStats> {
    const response = await fetch(`${this.url}/stats`);
    return (await response.json()) as ServerStats;
  }

  /** Asks for the counters, again and again, until they are as wanted; the test's own timeout is the limit. */
  async statsWhere(wanted: (stats: ServerStats) => boolean): Promise<ServerStats> {
    for (;;) {
      const stats = await this.stats();
      if (wanted(stats)) return stats;
    }
  }

  /** Until `count` requests are being handled, beside the one that asks. */
  async active(count: number): Promise<ServerStats> {
    return this.statsWhere(({ requests }) => requests.active === count + 1);
  }

  #changed(): void {
    for (const check of [...this.#onChange]) check();
  }
}

export async function startDemo(backend: BackendName, env?: Record<string, string>): Promise<DemoProcess> {
  return new DemoProcess(backend, env).started();
}
