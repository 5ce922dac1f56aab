/** What the running node's servers do differently from others', where it can only be told by the version. */
import { versions } from 'node:process';

const [major = 0, minor = 0, patch = 0] = versions.node.split('.').map(Number);

function isAtLeast(wantedMinor: number, wantedPatch: number): boolean {
  return minor > wantedMinor || (minor === wantedMinor && patch >= wantedPatch);
}

/** Of a request that upgrades. Before, node took its body for the beginning of what comes after the upgrade. */
export const readsUpgradeBodies = major >= 26;

/** A request with more fields than `server.maxHeadersCount` is refused (CVE-2026-58044); before, those above were dropped. */
export const refusesExcessFields =
  major === 22 ? isAtLeast(23, 2) : major === 24 ? isAtLeast(18, 1) : major === 26 ? isAtLeast(5, 1) : major > 26;
