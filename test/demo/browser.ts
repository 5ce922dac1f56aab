/** A real Chromium, headless, with a profile of its own. Everything that would go to another machine is turned off. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';

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

/** Below the limit of a test: so what it waited for in vain is named. */
const WAIT_MS = 30_000;

/** One browser for the tests of a file. */
export function useBrowser(): { newPage(options: BrowserContextOptions): Promise<Page> } {
  let browser: Browser;
  beforeAll(async () => {
    if (executablePath === null) return;
    browser = await chromium.launch({ executablePath, headless: true, args: ARGS });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
  });
  return {
    /** As far as pages can tell, in a browser of its own. */
    async newPage(options) {
      const page = await browser.newPage(options);
      page.setDefaultTimeout(WAIT_MS);
      return page;
    },
  };
}

/** Gathers in `complaints` what the browser complains about: errors and warnings in the page's console, exceptions. */
export function hearComplaints(page: Page, complaints: string[]): void {
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
}

/** Screenshots go to gammaloop-<name>/ in the system's folder for temporary files. */
export async function screenshot(page: Page, name: string, file: string): Promise<void> {
  const folder = join(tmpdir(), `gammaloop-${name}`);
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${file}.png`), fullPage: true });
}
