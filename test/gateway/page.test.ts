/** The gateway's page in a real browser. Screenshots go to gammaloop-gateway/ in the system's folder for temporary files. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hearComplaints, mayLaunch, screenshot, useBrowser } from '../demo/browser.js';
import { backends } from '../support/backends.js';
import { type GatewayProcess, startGateway } from './gateway-process.js';

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 375, height: 800 };

const browser = useBrowser();

describe.runIf(mayLaunch).each(backends)('the page on %s', (backend) => {
  let gateway: GatewayProcess;
  let page: Page;
  /** What the browser complains about: errors and warnings in its console, exceptions. */
  let complaints: string[];

  beforeEach(async () => {
    gateway = await startGateway(backend);
    page = await browser.newPage({ viewport: DESKTOP });
    complaints = [];
    hearComplaints(page, complaints);
  });
  afterEach(async () => {
    await page.close();
  });

  const open = async (): Promise<void> => {
    await page.goto(gateway.url);
    await page.getByText('connected', { exact: true }).waitFor();
  };
  const press = (id: string, name: string) => page.locator(`#${id}`).getByRole('button', { name, exact: true }).click();
  // Counters that only grow are waited for, and 0 once all is over: what is so for a second only, a busy machine may never show.
  const counter = (id: string, count: number) =>
    page
      .locator(`#${id}`)
      .filter({ hasText: new RegExp(`^${count}$`) })
      .waitFor();
  const result = (id: string, text: RegExp) => page.locator(`#${id} output`).filter({ hasText: text }).waitFor();

  it('shows the workers, and a quick job', async () => {
    await open();
    expect(await page.title()).toBe('gammaloop gateway');
    for (const pid of gateway.workers) await page.getByRole('cell', { name: String(pid), exact: true }).waitFor();
    await press('quick', 'Ask');
    await result('quick', /^17984 primes, counted by process \d+, with \d+ ms left \(\d+ ms\)$/);
    await counter('finished', 1);
    await counter('open', 0);
    expect(complaints).toEqual([]);
  });

  it('a report comes line by line, and stops when it is hung up on', async () => {
    await open();
    await press('report', 'Stream');
    await result('report', /^1 of 10: 1229 primes below 10000/);
    await counter('started', 1);
    await result('report', /10 of 10: .*\nthe end/);
    await counter('finished', 1);
    // Long enough to be hung up on at any time.
    await page.route('**/report?lines=10', (route) =>
      route.continue({ url: route.request().url().replace('lines=10', 'lines=1000') }),
    );
    await press('report', 'Stream');
    await result('report', /2 of 1000: /);
    await press('report', 'Hang up');
    await result('report', /^hung up \(\d+ ms\)$/);
    await counter('cancelled', 1);
    await counter('open', 0);
    expect(complaints).toEqual([]);
  });

  it('a job that is hung up on, and one with too little time, are cancelled in their workers', async () => {
    await open();
    await press('hang-up', 'Ask and leave');
    await counter('started', 1);
    await result('hang-up', /^left; see "tasks cancelled"/);
    await counter('cancelled', 1);
    await press('late', 'Ask');
    await result('late', /^504: No reply from 'wait'/);
    await counter('cancelled', 2);
    await counter('open', 0);
    expect(complaints).toEqual([expect.stringContaining('504')]);
  });

  it('a worker that dies is replaced', async () => {
    await open();
    await press('crash', 'Ask');
    await result('crash', /^502: The process port broke/);
    await counter('replaced', 1);
    await counter('lost', 1);
    await page.locator('#workers tr').nth(1).waitFor();
    const shown = await page.locator('#workers tr td:first-child').allTextContents();
    expect(shown.filter((text) => gateway.workers.some((pid) => text === String(pid)))).toHaveLength(1);
    expect(complaints).toEqual([expect.stringContaining('502')]);
  });

  it('a gateway that stops says so', async () => {
    await open();
    gateway.kill('SIGTERM');
    expect([await gateway.exited, gateway.stderr]).toEqual([0, '']);
    await page.getByText('reconnecting', { exact: true }).waitFor();
  });

  it.each([
    ['light', 'desktop', DESKTOP],
    ['dark', 'desktop', DESKTOP],
    ['light', 'phone', PHONE],
    ['dark', 'phone', PHONE],
  ] as const)(
    '%s, %s: nothing is cut off, everything can be operated and has a name',
    async (scheme, name, viewport) => {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize(viewport);
      await open();
      for (let i = 0; i < 3; i++) await press('quick', 'Ask');
      await press('late', 'Ask');
      await press('report', 'Stream');
      await result('late', /^504/);
      await press('crash', 'Ask');
      await result('crash', /^502/);
      await press('hang-up', 'Ask and leave');
      await counter('replaced', 1);
      await page.locator('#workers tr').nth(1).waitFor();
      await result('report', /4 of 10|502/);
      const { content, width } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { content: scrollWidth, width: clientWidth };
      });
      expect(content).toBeLessThanOrEqual(width);
      const nameless = await page
        .locator('button, output')
        .evaluateAll((all) => all.filter((each) => !each.hasAttribute('aria-label') && each.textContent === '').length);
      expect(nameless).toBe(0);
      await screenshot(page, 'gateway', `${backend}-${name}-${scheme}`);
    },
  );
});
