// The machine: tools, cores, limits, the C programs, and what else ran on the server's core.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { fail } from './options.mjs';

export const benchDir = fileURLToPath(new URL('..', import.meta.url));
export const builtDir = `${benchDir}build`;

export function find(tool) {
  for (const dir of (process.env.PATH ?? '').split(':'))
    if (dir && existsSync(`${dir}/${tool}`)) return `${dir}/${tool}`;
  return undefined;
}

const fieldOf = (file, pattern) => pattern.exec(readFileSync(file, 'utf8'))?.[1];

/** Cores that this process may use, as numbers. */
function allowedCores() {
  const ranges = fieldOf('/proc/self/status', /^Cpus_allowed_list:\s*(\S+)/m) ?? '0';
  return ranges.split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

/** Compiles the limit and the load clients where the source is newer than the program. */
function buildPrograms() {
  const compiler =
    find('cc') ??
    find('gcc') ??
    find('clang') ??
    fail('no C compiler (cc, gcc or clang) in PATH: the limit and the load clients need one');
  mkdirSync(builtDir, { recursive: true });
  const headers = ['client', 'websocket'].map((name) => statSync(`${benchDir}load/${name}.h`).mtimeMs);
  const loads = ['closed_loop', 'pingpong', 'idle', 'websocket', 'cpu_time'].map((name) => `load/${name}`);
  for (const name of ['limit/limit', ...loads]) {
    const source = `${benchDir}${name}.c`;
    const program = `${builtDir}/${name.split('/')[1]}`;
    const newest = Math.max(statSync(source).mtimeMs, ...headers);
    if (existsSync(program) && statSync(program).mtimeMs > newest) continue;
    execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-o', program, source], { stdio: 'inherit' });
  }
}

export function prepareHost(options) {
  if (process.platform !== 'linux')
    fail('the bench reads /proc and pins processes with taskset: it runs on Linux only');
  const taskset =
    find('taskset') ?? fail('taskset (util-linux) is needed to pin the server and the load to cores of their own');
  const cores = allowedCores();
  const serverCore = options.serverCore ?? cores[0];
  const loadCore = options.loadCore ?? cores[cores.length - 1];
  for (const core of [serverCore, loadCore])
    if (!cores.includes(core)) fail(`core ${core} is not among those allowed: ${cores.join(', ')}`);
  const warnings = [];
  if (serverCore === loadCore)
    warnings.push('server and load share one core: nothing below is comparable with other machines');
  buildPrograms();
  // The harness itself sleeps while it measures, but what little it does belongs on the load's side.
  execFileSync(taskset, ['-a', '-c', '-p', String(loadCore), String(process.pid)], { stdio: 'ignore' });

  const fileLimit = Number(fieldOf('/proc/self/limits', /^Max open files\s+\S+\s+(\d+)/m) ?? 1024);
  const setpriv = find('setpriv');
  const prlimit = find('prlimit');
  if (!prlimit) warnings.push("prlimit not found: servers run with the shell's limit of open files");
  const wrk = find('wrk');
  const autocannon = `${benchDir}node_modules/autocannon/autocannon.js`;
  if (!wrk && !existsSync(autocannon)) fail('neither wrk in PATH nor autocannon installed (npm install in bench/)');
  if (!wrk)
    warnings.push(
      'wrk not found: autocannon is the load; it is JavaScript and saturates before the fast servers do: compare CPU, not req/s',
    );
  return {
    serverCore,
    loadCore,
    fileLimit,
    warnings,
    wrk,
    autocannon,
    load: wrk ? 'wrk' : 'autocannon',
    /** Pins in place (each of these tools execs the next), lifts the file limit, and dies with the harness. */
    launcher: (core) => [
      ...(setpriv ? [setpriv, '--pdeathsig', 'KILL'] : []),
      ...(prlimit ? [prlimit, `--nofile=${fileLimit}`] : []),
      taskset,
      '-c',
      String(core),
    ],
    description: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cores.length,
      kernel: release(),
      loadavgAtStart: loadavg(),
    },
  };
}

/** Nanoseconds that the core has spent on processes, on interrupts, and lost to the hypervisor, since boot. */
export function coreTime(core) {
  const line = fieldOf('/proc/stat', new RegExp(`^cpu${core} (.+)$`, 'm')) ?? '';
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line
    .split(/\s+/)
    .map((ticks) => Number(ticks) * 1e7);
  return { tasks: user + nice + system, interrupts: irq + softirq, steal };
}

/** The process and its descendants. */
export function processTree(root, allPids) {
  const parents = new Map();
  for (const pid of allPids) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      parents.set(pid, Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {} // ended meanwhile
  }
  const tree = [root];
  for (let i = 0; i < tree.length; i++) for (const [pid, parent] of parents) if (parent === tree[i]) tree.push(pid);
  return tree;
}

/** Proportional set size in bytes, summed over the processes. */
export function memoryOf(pids) {
  let kib = 0;
  for (const pid of pids) kib += Number(fieldOf(`/proc/${pid}/smaps_rollup`, /^Pss:\s+(\d+)/m) ?? 0);
  return kib * 1024;
}
