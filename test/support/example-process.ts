/** Runs an example as its users do: a process of its own, on a free port, stopped by signals. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterEach } from 'vitest';
import type { BackendName } from './backends.js';

const running = new Set<ExampleProcess>();

/** Ends what a test has left running. */
afterEach(async () => {
  for (const example of running) {
    example.kill('SIGKILL');
    await example.exited;
  }
});

export class ExampleProcess {
  stdout = '';
  stderr = '';
  /** The exit code, or the signal that ended the process. */
  readonly exited: Promise<number | NodeJS.Signals>;
  #url: string | null = null;
  #ended = false;
  #onChange: Set<() => void> = new Set();
  readonly #child: ChildProcess;

  /** `script`: its path below examples/. */
  constructor(script: string, backend: BackendName, env: Record<string, string> = {}) {
    const path = fileURLToPath(new URL(`../../examples/${script}`, import.meta.url));
    const child = spawn(process.execPath, [path], {
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
    if (this.#url === null) throw new Error('the example has not started');
    return this.#url;
  }

  async started(): Promise<this> {
    const [, url] = await this.printed(/^gammaloop \w+: (http:\S+)\n[\s\S]*Ctrl-C/);
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
        else reject(new Error(`the example ended before it printed ${pattern}:\n${this.stdout}${this.stderr}`));
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

  #changed(): void {
    for (const check of [...this.#onChange]) check();
  }
}
