/** The rules of docs/architecture.md that show in the folders. Each failure names the file and the rule. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { filesUnder, findCycle, importsOf, includesOf, read, resolveImport, root } from './sources.js';

const nativeFiles = filesUnder('native', ['.h', '.cc']);
const libFiles = filesUnder('lib', ['.ts']);

/** Folder of native/ -> folders that it may include from, beside itself. */
const nativeLayers: Record<string, readonly string[]> = {
  base: [],
  ring: ['base'],
  sys: ['base'],
  reactor: ['base', 'ring', 'sys'],
  http: ['base', 'ring', 'sys', 'reactor'],
  ws: ['base', 'ring', 'sys', 'reactor'],
  tls: ['base', 'ring', 'sys', 'reactor'],
  include: [],
  runner: ['include', 'base'],
  selector: ['base', 'sys'],
  engine: ['base', 'ring', 'sys', 'reactor', 'http', 'ws', 'tls', 'runner'],
  addon: ['include', 'base', 'ring', 'sys', 'reactor', 'http', 'ws', 'tls', 'runner', 'selector', 'engine'],
};

/** Codecs: bytes in, result out. They include base, and each other. */
const codecs = [
  ...['http_types', 'http1_syntax', 'header_lookup', 'http1_parser', 'chunked_decoder', 'head_codec'].map(
    (stem) => `http/${stem}.h`,
  ),
  ...['frame_codec', 'mask', 'utf8'].map((stem) => `ws/${stem}.h`),
];

const libGround = ['errors', 'diagnostics'];
const libMiddle = [...libGround, 'scope', 'bridge'];
const libProtocols = ['http', 'ws', 'runner', 'selector', 'correlation'];
/** Folder or file of lib/ -> what it may import from, beside itself. */
const libLayers: Record<string, readonly string[]> = {
  errors: [],
  diagnostics: [],
  scope: libGround,
  bridge: libGround,
  ...Object.fromEntries(libProtocols.map((name) => [name, libMiddle])),
  http: [...libMiddle, 'ws'], // an exchange may become a WebSocket
  backend: [...libMiddle, ...libProtocols],
  net: [...libMiddle, ...libProtocols, 'backend'],
  'drop-in': [...libMiddle, ...libProtocols, 'backend', 'net'],
  loop: [...libMiddle, 'backend'],
  app: [...libMiddle, ...libProtocols, 'backend', 'drop-in', 'loop'],
  ports: [...libMiddle, ...libProtocols, 'backend'],
  index: [...libMiddle, ...libProtocols, 'backend', 'net', 'drop-in', 'loop', 'app', 'ports'],
  register: ['drop-in'],
  'register-net': ['drop-in'],
  cli: [...libMiddle, ...libProtocols, 'backend', 'net', 'drop-in', 'app', 'ports', 'index'],
};

/** 'native/http/x.h' -> 'http'; 'lib/errors.ts' -> 'errors'. */
function layerOf(path: string): string {
  return (path.split('/')[1] as string).replace(/\.ts$/, '');
}

function stemOf(path: string): string {
  return path.replace(/\.(h|cc)$/, '');
}

describe('native/', () => {
  test('has no folder beside the layers', () => {
    const unknown = nativeFiles.filter((path) => !(layerOf(path) in nativeLayers) && path.split('/').length > 2);
    expect(unknown).toEqual([]);
  });

  test('includes downward only, by paths from native/', () => {
    const wrong: string[] = [];
    for (const path of nativeFiles) {
      const allowed = [layerOf(path), ...(nativeLayers[layerOf(path)] ?? [])];
      for (const { name, system } of includesOf(path)) {
        if (system) continue;
        if (!existsSync(join(root, 'native', name))) wrong.push(`${path}: "${name}" is not a file under native/`);
        else if (!allowed.includes(name.split('/')[0] as string)) wrong.push(`${path} includes ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('has no cycle of includes', () => {
    const graph = new Map<string, string[]>();
    for (const path of nativeFiles) {
      const targets = includesOf(path).filter(({ system }) => !system);
      graph.set(
        path,
        targets.map(({ name }) => `native/${name}`),
      );
    }
    expect(findCycle(graph)).toBeNull();
  });

  test('operating-system headers and uv.h stand in sys only, Node-API headers in addon only', () => {
    const wrong: string[] = [];
    for (const path of nativeFiles) {
      for (const { name, system } of includesOf(path)) {
        const layer = layerOf(path);
        if (!system) continue;
        if (/^(napi|node_api|js_native_api|napi-inl)\.h$/.test(name)) {
          if (layer !== 'addon') wrong.push(`${path} includes <${name}>`);
        } else if (layer === 'include') {
          if (!/^std(def|int)\.h$/.test(name)) wrong.push(`${path} includes <${name}>`);
        } else if (name.includes('.') || name.includes('/')) {
          // The C++ library's own headers have no extension; the sanitizers' come with the compiler.
          if (layer !== 'sys' && !name.startsWith('sanitizer/')) wrong.push(`${path} includes <${name}>`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  test('parsers and codecs reach base and each other only', () => {
    const wrong: string[] = [];
    for (const path of nativeFiles.filter((file) => codecs.includes(`${stemOf(file)}.h`.replace('native/', '')))) {
      for (const { name, system } of includesOf(path)) {
        if (!system && !name.startsWith('base/') && !codecs.includes(name)) wrong.push(`${path} includes ${name}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('chooses no backend by #if inside a function', () => {
    const wrong: string[] = [];
    for (const path of nativeFiles) {
      for (const line of read(path).split('\n')) {
        if (/^\s*#\s*(if|ifdef|ifndef|elif)\b.*(__linux__|__APPLE__|__FreeBSD__|_WIN32)/.test(line))
          wrong.push(`${path}: ${line}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

describe('lib/', () => {
  test('imports downward only', () => {
    const wrong: string[] = [];
    for (const path of libFiles) {
      const layer = layerOf(path);
      const allowed = libLayers[layer];
      if (!allowed) wrong.push(`${path} is in no layer`);
      for (const { specifier } of importsOf(path)) {
        if (!specifier.startsWith('.')) continue;
        const target = resolveImport(path, specifier);
        if (!existsSync(join(root, target))) wrong.push(`${path}: ${specifier} is not a file`);
        else if (layerOf(target) !== layer && !allowed?.includes(layerOf(target)))
          wrong.push(`${path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test('has no cycle of imports, apart from types', () => {
    const graph = new Map<string, string[]>();
    for (const path of libFiles) {
      const real = importsOf(path).filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !typeOnly);
      graph.set(
        path,
        real.map(({ specifier }) => resolveImport(path, specifier)),
      );
    }
    expect(findCycle(graph)).toBeNull();
  });

  test('loads the addon in bridge/binding.ts only', () => {
    const loaders = libFiles.filter((path) => /node-gyp-build|\.node['"`]|process\.dlopen/.test(read(path)));
    expect(loaders.filter((path) => path !== 'lib/bridge/binding.ts')).toEqual([]);
  });

  test('depends on node and node-gyp-build alone; ports on optional clients, which nothing loads before it connects', () => {
    const clients = Object.keys(JSON.parse(read('package.json')).peerDependencies);
    const optional = Object.keys(JSON.parse(read('package.json')).peerDependenciesMeta);
    expect(optional).toEqual(clients);
    const foreign = libFiles.flatMap((path) =>
      importsOf(path)
        .filter(({ specifier }) => !/^(\.|node:|node-gyp-build$)/.test(specifier))
        .filter(({ specifier, later, typeOnly }) => {
          return !(path.startsWith('lib/ports/') && clients.includes(specifier) && (later || typeOnly));
        })
        .map(({ specifier }) => `${path} imports ${specifier}`),
    );
    expect(foreign).toEqual([]);
  });
});

describe('the build', () => {
  const lists = JSON.parse(read('native/sources.json')) as Record<string, string[]>;
  const platforms = Object.keys(lists).filter((name) => !['common', 'standalone', 'uvTests'].includes(name));

  test('builds every native source on some platform, and none twice', () => {
    const addon = Object.entries(lists).flatMap(([name, paths]) => (name === 'uvTests' ? [] : paths));
    expect([...new Set(addon)].sort()).toEqual(nativeFiles.filter((path) => path.endsWith('.cc')));
    for (const platform of platforms) {
      const sources = [...(lists['common'] ?? []), ...(lists[platform] ?? [])];
      expect(new Set(sources).size, platform).toBe(sources.length);
    }
    for (const path of lists['uvTests'] ?? []) expect(existsSync(join(root, path)), path).toBe(true);
  });

  test('gives binding.gyp the sources of native/sources.json and no others', () => {
    for (const platform of platforms) {
      const gypName = platform === 'darwin' ? 'mac' : platform;
      const output = execFileSync(process.execPath, ['scripts/native-sources.mjs', gypName], {
        cwd: root,
        encoding: 'utf8',
      });
      expect(output.trim().split('\n')).toEqual([...(lists['common'] ?? []), ...(lists[platform] ?? [])]);
    }
    const gyp = read('binding.gyp');
    const sources = [...gyp.matchAll(/'sources': \[([^\]]*)\]/g)].map(([, inside]) => inside);
    expect(sources).toEqual([
      "'<!@(node scripts/native-sources.mjs <(OS))'",
      "'<!@(node scripts/native-sources.mjs uvTests <(OS))'",
    ]);
    expect(gyp).not.toMatch(/\.cc\b/);
  });

  test('gives CMakeLists.txt the same list for the same platforms', () => {
    const cmake = read('CMakeLists.txt');
    expect(cmake).toContain('file(READ native/sources.json sources_json)');
    expect(cmake).toContain(`foreach(list common \${platform})`);
    expect(cmake).not.toMatch(/\.cc\b/);
    expect([...cmake.matchAll(/set\(platform (\w+)\)/g)].map(([, name]) => name).sort()).toEqual([...platforms].sort());
  });

  test('defines the same macros in both', () => {
    const words = (text: string) =>
      [...text.matchAll(/\b(NAPI_VERSION=\d+|NODE_ADDON_API_\w+)\b/g)].map(([word]) => word).sort();
    expect(words(read('CMakeLists.txt'))).toEqual(words(read('binding.gyp')));
  });
});

test('no file is longer than 500 lines, no test than 800', () => {
  const longerThan = (limit: number, files: string[]) =>
    files.map((path) => ({ path, lines: read(path).split('\n').length - 1 })).filter(({ lines }) => lines > limit);
  expect(longerThan(500, [...nativeFiles, ...libFiles, ...filesUnder('scripts', ['.mjs'])])).toEqual([]);
  expect(longerThan(800, filesUnder('test', ['.ts', '.cc', '.h']))).toEqual([]);
});
