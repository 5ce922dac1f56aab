// Starting and ending the servers and load programs. Whatever was started is killed, by id, when the harness ends for any reason.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { benchDir, processTree } from './host.mjs';

const running = new Set();

function killAll() {
  for (const child of running) child.kill('SIGKILL');
}
process.on('exit', killAll);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
])
  process.on(signal, () => process.exit(code));

export function start(command, { env = {} } = {}) {
  const child = spawn(command[0], command.slice(1), {
    cwd: benchDir,
    env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.stdin.on('error', () => {}); // it ended first: seen as its exit
  child.errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    child.errors = (child.errors + text).slice(-4000);
  });
  child.ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve(signal ?? code);
    });
  });
  return child;
}

/** Runs to the end and gives its standard output; rejects on another exit code than 0 and at the deadline. */
export async function output(command, deadlineMs) {
  const child = start(command);
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    text += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const status = await child.ended;
  clearTimeout(timer);
  if (status !== 0)
    throw new Error(
      `${command.find((part) => part.includes('/build/')) ?? command[0]} ended with ${status}: ${child.errors.trim() || text.trim()}`,
    );
  return text;
}

/** A child that is spoken to by lines. */
export function conversation(child) {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (deadlineMs) => {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${deadlineMs} ms`)), deadlineMs);
    });
    const ended = child.ended.then((status) => {
      throw new Error(`ended with ${status}: ${child.errors.trim()}`);
    });
    try {
      const { value, done } = await Promise.race([lines.next(), late, ended]);
      if (done) throw new Error(`ended with ${await child.ended}: ${child.errors.trim()}`);
      return value;
    } finally {
      clearTimeout(timer);
      ended.catch(() => {});
    }
  };
  return {
    next,
    ask: (line, deadlineMs) => {
      child.stdin.write(`${line}\n`);
      return next(deadlineMs);
    },
  };
}

export async function startServer(host, server, app) {
  const child = start([...host.launcher(host.serverCore), ...server.command, app]);
  const talk = conversation(child);
  try {
    const [word, port, ...version] = (await talk.next(15_000)).split(' ');
    if (word !== 'READY') throw new Error(`said '${word}' instead of READY: ${child.errors.trim()}`);
    return {
      port: Number(port),
      version: version.join(' ') || server.name,
      pids: () =>
        processTree(
          child.pid,
          readdirSync('/proc')
            .filter((name) => /^\d+$/.test(name))
            .map(Number),
        ),
      /** process.memoryUsage() after a collection; undefined where the server has no collector. */
      collectGarbage: async () => {
        if (server.kind === 'limit') return undefined;
        const answer = await talk.ask('gc', 15_000);
        return answer.length > 3 ? JSON.parse(answer.slice(3)) : undefined;
      },
      stop: () => stop(child),
    };
  } catch (error) {
    await stop(child);
    throw error;
  }
}

export async function stop(child) {
  child.stdin.end();
  const timer = setTimeout(() => child.kill('SIGKILL'), 1000);
  await child.ended;
  clearTimeout(timer);
}
