// The worker processes, each `gammaloop worker tasks.mjs`: started, replaced when they die, drained at the end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const COMMAND = fileURLToPath(new URL('cli/main.js', import.meta.resolve('gammaloop')));
const TASKS = fileURLToPath(new URL('tasks.mjs', import.meta.url));
const RESTART_MS = 500;

export class WorkerProcesses {
  replaced = 0;
  #children = new Set();
  #args;
  #stopping = false;

  constructor(count, natsUrl, ackWait) {
    const options = ['--port', natsUrl, '--prefix', 'cluster', '--durable', '--ack-wait', ackWait];
    this.#args = [COMMAND, 'worker', TASKS, ...options, '--threads', 1, '--concurrency', 2].map(String);
    for (let i = 0; i < count; i++) this.#start();
  }

  get pids() {
    return [...this.#children].map(({ pid }) => pid);
  }

  #start() {
    const child = spawn(process.execPath, this.#args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.add(child);
    child.once('exit', () => {
      this.#children.delete(child);
      if (this.#stopping) return;
      this.replaced++;
      setTimeout(() => {
        if (!this.#stopping) this.#start();
      }, RESTART_MS);
    });
  }

  async stop() {
    this.#stopping = true;
    const ended = [...this.#children].map((child) => once(child, 'exit'));
    for (const child of this.#children) child.kill('SIGTERM');
    await Promise.all(ended);
  }
}
