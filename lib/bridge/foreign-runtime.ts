/** Where the addon must not even be tried: it may load there, and then be missing half of what it needs. */

/** What the addon is built for. */
const PLATFORMS: ReadonlySet<string> = new Set(['linux', 'darwin', 'freebsd']);

/** Why not here, or null. */
export function foreignRuntime(): string | null {
  if (process.versions['bun'] !== undefined) {
    return 'Bun runs the node backend only';
  }
  if (process.versions['deno'] !== undefined || 'Deno' in globalThis) {
    return 'Deno runs the node backend only';
  }
  return PLATFORMS.has(process.platform) ? null : `${process.platform} has no native backend`;
}
