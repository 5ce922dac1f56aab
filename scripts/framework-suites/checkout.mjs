// A project's source at its tag, with what its tests need installed beside it.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Tools of a project's own housekeeping: no test needs them, and they are most of what would be installed.
const housekeeping =
  /eslint|prettier|neostandard|^standard$|snazzy|^nyc$|^c8$|tstyche|tsd|tsdown|publint|^np$|benchmark|branch-comparer|autocannon|markdownlint|gen-esm|auto-changelog|^bufferutil$|^utf-8-validate$/;

/** @returns the folder of the package, ready to run its tests; an earlier one of the same tag is used again */
export function prepareCheckout(project, { work, source }) {
  const name = project.name.replace('/', '-');
  const directory = join(work, name);
  const cwd = join(directory, project.folder ?? '.');
  const ready = join(directory, '.ready');
  if (existsSync(ready) && readFileSync(ready, 'utf8') === project.tag) return cwd;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  takeSource(project, directory, source && join(source, name));
  const manifestPath = join(cwd, 'package.json');
  const manifest = JSON.parse(readFileSync(manifestPath, 'utf8'));
  const wanted = Object.entries(manifest.devDependencies ?? {}).filter(
    ([dependency]) => !housekeeping.test(dependency),
  );
  manifest.devDependencies = { ...Object.fromEntries(wanted), ...project.tools };
  writeFileSync(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`);
  // A workspace's root would take the installation to itself.
  if (project.folder) rmSync(join(directory, 'package.json'));
  command(
    'npm',
    ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--legacy-peer-deps'],
    cwd,
  );
  if (project.published) takePublished(project, manifest, cwd);
  for (const file of project.without ?? []) writeFileSync(join(cwd, file), '');
  if (project.before) command('sh', [project.before], cwd);
  writeFileSync(ready, project.tag);
  return cwd;
}

function takeSource({ repository, tag }, directory, from) {
  const isRepository = !from || existsSync(join(from, '.git')) || existsSync(join(from, 'objects'));
  if (!isRepository) return cpSync(from, directory, { recursive: true });
  const url = from ? `file://${from}` : `https://github.com/${repository}`;
  command('git', ['clone', '--quiet', '--depth', '1', '--branch', tag, url, directory], '.');
}

function takePublished({ name, published }, { version }, cwd) {
  const unpacked = join(cwd, '.published');
  mkdirSync(unpacked);
  command('npm', ['pack', '--silent', `${name}@${version}`], unpacked);
  command('tar', ['xzf', `${name}-${version}.tgz`], unpacked);
  for (const part of published) cpSync(join(unpacked, 'package', part), join(cwd, part), { recursive: true });
}

function command(program, args, cwd) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: 600_000 });
  if (error || status !== 0) {
    const said = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-8).join('\n');
    throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}\n${said}`);
  }
}
