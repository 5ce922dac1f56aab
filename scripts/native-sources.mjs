// The one list of the addon's sources, native/sources.json, as binding.gyp asks for it (CMakeLists.txt reads the same file itself).
//
//   node scripts/native-sources.mjs linux|darwin|mac|freebsd     sources of the addon
//   node scripts/native-sources.mjs uvTests linux|...             sources of the test addon: its own, and native/sys of the platform
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const lists = JSON.parse(readFileSync(new URL('../native/sources.json', import.meta.url), 'utf8'));

/** Lists that are not one of a platform: standalone programs (unit tests, fuzzer) use `standalone` where the addon has libuv. */
const otherLists = ['common', 'standalone', 'uvTests'];

export const platforms = Object.keys(lists).filter((name) => !otherLists.includes(name));

/** Sources of the addon on `platform` (a value of process.platform, or gyp's name for it). Throws where it cannot be built. */
export function addonSources(platform) {
  const name = platform === 'mac' ? 'darwin' : platform;
  if (!platforms.includes(name))
    throw new Error(`the native engine is not built for ${platform} (only ${platforms.join(', ')})`);
  return [...lists.common, ...lists[name]];
}

/** Sources of the test addon on `platform`: the cases over libuv, and what they test. */
export function uvTestSources(platform) {
  return [...lists.uvTests, ...addonSources(platform).filter((path) => path.startsWith('native/sys/'))];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [first, second] = process.argv.slice(2);
  const list = first === 'uvTests' ? uvTestSources(second) : addonSources(first);
  console.log(list.join('\n'));
}
