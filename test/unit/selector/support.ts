/** Descriptors for tests: the two ends of a named pipe, both non-blocking. */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { PollerName } from '../../../lib/selector/index.js';

/** The pollers of this system. */
export const pollers: PollerName[] = [process.platform === 'linux' ? 'epoll' : 'kqueue', 'poll', 'uv'];

export class Pipe {
  readonly readEnd: number;
  readonly writeEnd: number;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'gammaloop-pipe-'));
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    this.readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    this.writeEnd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    rmSync(folder, { recursive: true });
    opened.push(this);
  }

  write(text: string): void {
    writeSync(this.writeEnd, text);
  }

  /** '' where there is nothing. */
  read(): string {
    const bytes = Buffer.alloc(4096);
    try {
      return bytes.toString('utf8', 0, readSync(this.readEnd, bytes));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return '';
      throw error;
    }
  }

  close(): void {
    for (const fd of [this.readEnd, this.writeEnd]) {
      try {
        closeSync(fd);
      } catch {
        // The test has closed it.
      }
    }
  }
}

const opened: Pipe[] = [];

afterEach(() => {
  for (const pipe of opened.splice(0)) pipe.close();
});
