// The servers that can be measured, each with how to start it, or why it cannot be.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { benchDir, builtDir, find } from './host.mjs';
import { fail } from './options.mjs';

const modules = `${benchDir}node_modules`;
const hook = new URL('../../dist/register.js', import.meta.url).href;
/** The same program with the drop-in is named so. */
export const hooked = 'hooked-';

function versionOf(binary) {
  try {
    return execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim().replace(/^v/, '');
  } catch (error) {
    return fail(`--node: '${binary}' does not run: ${error.message}`);
  }
}

/** [{ label, binary, version }]; the first is the base. */
function nodeBinaries(option) {
  if (option) {
    const found = option.map((binary) => ({ binary, version: versionOf(binary) }));
    const majors = found.map(({ version }) => version.split('.')[0]);
    return found.map((node, i) => ({
      ...node,
      label: majors.filter((m) => m === majors[i]).length > 1 ? node.version : majors[i],
    }));
  }
  const found = [];
  for (const label of ['20', '22', '24', '26']) {
    const packaged = `${modules}/node-${label}/bin/node`;
    const own = process.version.startsWith(`v${label}.`);
    if (own || existsSync(packaged))
      found.push({
        label,
        binary: own ? process.execPath : packaged,
        version: versionOf(own ? process.execPath : packaged),
      });
  }
  if (found.length === 0)
    found.push({
      label: process.version.slice(1).split('.')[0],
      binary: process.execPath,
      version: process.version.slice(1),
    });
  return found;
}

/** The program itself, out of the platform's package: the package `bun` or `deno` has only a launcher, or nothing without its install script. */
export function platformBinary(scope, name) {
  const cpu = process.arch === 'arm64' ? ['aarch64', 'arm64'] : ['x64'];
  const dir = `${modules}/${scope}`;
  const packages = existsSync(dir) ? readdirSync(dir) : [];
  for (const item of packages) {
    if (!cpu.some((c) => item === `linux-${c}-glibc` || item === `${name}-linux-${c}`)) continue;
    for (const path of [`${dir}/${item}/bin/${name}`, `${dir}/${item}/${name}`]) if (existsSync(path)) return path;
  }
  return find(name);
}

function pythonWithUvicorn() {
  for (const python of ['/usr/bin/python3', find('python3')]) {
    if (!python || !existsSync(python)) continue;
    try {
      execFileSync(python, ['-c', 'import uvicorn, uvloop, httptools'], { stdio: 'ignore' });
      return python;
    } catch {} // the next one may have them
  }
  return undefined;
}

/** { servers: Map name -> { name, kind, node, command } | { name, missing }, nodes } */
export function knownServers(options) {
  const nodes = nodeBinaries(options.nodes);
  const servers = new Map();
  const add = (name, kind, command, missing, node = nodes[0].label) =>
    servers.set(name, { name, kind, node, ...(missing ? { missing } : { command }) });
  const file = (name) => `${benchDir}servers/${name}`;

  add('limit', 'limit', [`${builtDir}/limit`]);
  const built = existsSync(`${benchDir}../dist/index.js`);
  for (const { label, binary } of nodes) {
    for (const name of ['ours-fetch', 'ours-asgi', 'ours-node', 'ours-ws', 'ours-ws-package'])
      add(
        `${name}@${label}`,
        'ours',
        [binary, file(`${name}.mjs`)],
        built ? '' : 'the project is not built (npm run build)',
        label,
      );
    for (const name of ['node-http', 'express', 'fastify', 'koa', 'hono', 'ws']) {
      const isNode = name === 'node-http';
      const missing = isNode || existsSync(`${modules}/${name}`) ? '' : 'not installed (npm install in bench/)';
      add(`${name}@${label}`, isNode ? 'node' : 'framework', [binary, file(`${name}.mjs`)], missing, label);
      add(
        `${hooked}${name}@${label}`,
        'ours',
        [binary, '--import', hook, file(`${name}.mjs`)],
        missing || (built ? '' : 'the project is not built (npm run build)'),
        label,
      );
    }
  }
  const bun = platformBinary('@oven', 'bun');
  for (const name of ['bun', 'bun-ws'])
    add(name, 'peer', [bun, file(`${name}.mjs`)], bun ? '' : 'no bun binary (npm install in bench/)');
  const deno = platformBinary('@deno', 'deno');
  add(
    'deno',
    'peer',
    [deno, 'run', '--allow-all', '--no-config', file('deno.mjs')],
    deno ? '' : 'no deno binary (npm install in bench/)',
  );
  const python = pythonWithUvicorn();
  add(
    'uvicorn',
    'peer',
    [python, file('uvicorn_server.py')],
    python ? '' : 'Debian packages python3-uvicorn, python3-uvloop and python3-httptools are not installed',
  );
  return { servers, nodes };
}

/** Names as a user or a workload gives them: `ours-fetch` is on the base node, `@last` on the newest, `@*` on each. */
export function expand(names, { servers, nodes }) {
  const chosen = [];
  for (const name of names) {
    const [stem, at] = name.split('@');
    const labels =
      at === '*' ? nodes.map((n) => n.label) : [at === 'last' ? nodes[nodes.length - 1].label : (at ?? nodes[0].label)];
    const found = servers.has(name)
      ? [name]
      : labels.map((label) => `${stem}@${label}`).filter((full) => servers.has(full));
    if (found.length === 0) fail(`no server '${name}'; there are ${[...servers.keys()].join(', ')}`);
    for (const full of found) if (!chosen.includes(full)) chosen.push(full);
  }
  return chosen.map((name) => servers.get(name));
}
