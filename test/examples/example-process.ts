/** An example in a process of its own, on a free port, with or without the hook. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { BackendName } from '../support/backends.js';
import { examplePath } from './dependencies.js';

const register = new URL('../../dist/register.js', import.meta.url).href;

/** How it is run: on node alone, or with gammaloop/register on one of the backends. */
export type Mode = 'plain' | BackendName;

export class ExampleProcess {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** Resolves once it has said where it listens. */
  static start(name: string, mode: Mode): Promise<ExampleProcess> {
    const hook = mode === 'plain' ? [] : ['--import', register];
    const child = spawn(process.execPath, [...hook, examplePath(name, 'app.mjs')], {
      env: {
        ...process.env,
        NODE_ENV: 'production',
        NODE_OPTIONS: '',
        PORT: '0',
        ...(mode === 'plain' ? {} : { GAMMALOOP_BACKEND: mode }),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    return new Promise((resolve, reject) => {
      const onOutput = (text: string) => {
        output += text;
        const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1];
        if (port !== undefined) resolve(new ExampleProcess(child, Number(port)));
      };
      child.stdout.setEncoding('utf8').on('data', onOutput);
      child.stderr.setEncoding('utf8').on('data', onOutput);
      child.once('error', reject);
      child.once('close', (code) => reject(new Error(`examples/${name} (${mode}) ended with ${code}: ${output}`)));
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null)
      throw new Error('the example ended by itself');
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill('SIGTERM');
    await closed;
  }
}

/** What may differ between two runs: the date and the port. */
export function normalise(text: string, port: number): string {
  return text.replace(/^date: .*$/gim, 'Date: -').replaceAll(`127.0.0.1:${port}`, '127.0.0.1:PORT');
}
