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

/** CHROMIUM_PATH, else the first of PROGRAMS on the PATH. Where there is none, the error says what to do: nothing is skipped. */
export function findChromium(): string {
  const named = process.env['CHROMIUM_PATH'] ?? '';
  if (named !== '') {
    if (!existsSync(named)) throw new Error(`CHROMIUM_PATH: nothing is at ${named}`);
    return named;
  }
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = PROGRAMS.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) =>
    existsSync(path),
  );
  if (found === undefined) {
    throw new Error(
      'The page is tested in Chromium, and none was found. Install it (Debian, Ubuntu: apt-get install chromium), ' +
        'or name a Chromium or Chrome in CHROMIUM_PATH.',
    );
  }
  return found;
}

export async function launchChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: findChromium(), headless: true, args: ARGS });
}
