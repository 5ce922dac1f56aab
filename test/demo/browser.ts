/** A real Chromium, headless, with a profile of its own. Everything that would go to another machine is turned off. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

const ADVICE =
  'The demo page is tested in Chromium, and none was found. Install it (Debian, Ubuntu: apt-get install chromium), ' +
  'or name a Chromium or Chrome in CHROMIUM_PATH.';

/** CHROMIUM_PATH, else the first of PROGRAMS on the PATH. */
function findChromium(): string | null {
  const named = process.env['CHROMIUM_PATH'] ?? '';
  if (named !== '') {
    if (!existsSync(named)) throw new Error(`CHROMIUM_PATH: nothing is at ${named}`);
    return named;
  }
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return (
    PROGRAMS.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path)) ?? null
  );
}

const executablePath = findChromium();

/** A stranger's machine may have none: then the tests are counted as not run, and the advice is printed. CI must have one. */
export const mayLaunch = executablePath !== null;
if (!mayLaunch) {
  if ((process.env['CI'] ?? '') !== '') throw new Error(ADVICE);
  console.error(ADVICE);
}

export async function launchChromium(): Promise<Browser> {
  if (executablePath === null) throw new Error(ADVICE);
  return chromium.launch({ executablePath, headless: true, args: ARGS });
}
