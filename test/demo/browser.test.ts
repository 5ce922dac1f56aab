/** The demo's page in a real browser. Screenshots go to gammaloop-demo/ in the system's folder for temporary files. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { backends } from '../support/backends.js';
import { hearComplaints, mayLaunch, screenshot, useBrowser } from './browser.js';
import { type DemoProcess, startDemo } from './demo-process.js';

const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 375, height: 800 };

const browser = useBrowser();

describe.runIf(mayLaunch).each(backends)('the page on %s', (backend) => {
  let demo: DemoProcess;
  let page: Page;
  /** What the browser complains about: errors and warnings in its console, exceptions, requests that failed. */
  let complaints: string[];

  beforeEach(async () => {
    demo = await startDemo(backend);
    page = await browser.newPage({ viewport: DESKTOP });
    complaints = [];
    hearComplaints(page, complaints);
    page.on('response', (response) => {
      if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
    });
  });
  afterEach(async () => {
    await page.close();
  });

  const open = async (): Promise<void> => {
    await page.goto(demo.url);
    await page.getByText('connected', { exact: true }).waitFor();
  };
  const form = (path: string) => page.locator(`form[data-path="${path}"]`);
  const result = async (path: string, done = 'done'): Promise<string> => {
    const output = form(path).locator(`output[data-state="${done}"]`);
    await output.waitFor();
    return (await output.textContent()) ?? '';
  };

  it('a browser at / gets the page, which follows the events', async () => {
    await open();
    expect(new URL(page.url()).pathname).toBe('/page');
    expect(await page.title()).toBe('gammaloop demo');
    await page.getByText(new RegExp(`^${backend} backend`)).waitFor();
    expect(await page.locator('#dot').getAttribute('data-state')).toBe('connected');
    for (const id of ['rate', 'open', 'gap']) {
      await page.locator(`#${id}`).filter({ hasText: /\d/ }).waitFor();
      await page.locator(`#${id}-chart[aria-label*="now"]`).waitFor();
    }
    expect(complaints).toEqual([]);
  });

  it('each button sends its request and shows the answer with its time', async () => {
    await open();
    await form('/json').getByRole('button', { name: 'Send', exact: true }).click();
    expect(await result('/json')).toMatch(/^200 in \d+\.\d ms\n\{\s+"hello": "world"/);
    await form('/slow').getByLabel('ms').fill('200');
    await form('/slow').getByRole('button').click();
    const slow = await result('/slow');
    expect(slow).toContain('Waited 200 ms');
    expect(Number(/in ([\d.]+) ms/.exec(slow)?.[1])).toBeGreaterThanOrEqual(199);
    await form('/block').getByLabel('ms').fill('200');
    await form('/block').getByRole('button').click();
    expect(await result('/block')).toContain('Blocked the event loop for 200 ms');
    await form('/stats').getByRole('button').click();
    const stats = await result('/stats');
    expect(JSON.parse(stats.slice(stats.indexOf('\n')))).toMatchObject({ backend, requests: { active: 2 } });
    await form('/json').getByRole('button', { name: 'Send 300' }).click();
    await form('/json')
      .getByText(/^300 requests in \d+ ms, median [\d.]+ ms, 0 failed$/)
      .waitFor();
    expect((await demo.stats()).requests.received).toBeGreaterThan(300);
    expect(complaints).toEqual([]);
  });

  it('a blocked loop shows as a gap between events', async () => {
    await open();
    await page.locator('#gap').filter({ hasText: /\d/ }).waitFor();
    await form('/block').getByLabel('ms').fill('2500');
    await form('/block').getByRole('button').click();
    await page
      .locator('#gap')
      .filter({ hasText: /^([2-9]|\d\d)\.\d\d s$/ })
      .waitFor();
    expect(complaints).toEqual([]);
  });

  it('the echo form shows the text as it comes back', async () => {
    await open();
    const text = 'Grüße, 世界\nsecond line <b>as text</b>\n';
    await page.getByLabel('Text to send to').fill(text);
    await page.locator('#echo').getByRole('button').click();
    await page.locator('#echo-summary[data-state="done"]').waitFor();
    expect(await page.locator('#echo-result').textContent()).toBe(text);
    const bytes = Buffer.byteLength(text);
    expect(await page.locator('#echo-summary').textContent()).toMatch(
      new RegExp(`^same text back: ${bytes} bytes in 1 chunk`),
    );

    await page.locator('#echo').getByLabel('times').fill('100000');
    await page.locator('#echo').getByRole('button').click();
    const summary = page.locator('#echo-summary').filter({ hasText: `same text back: ${bytes * 100_000} bytes` });
    await summary.waitFor();
    expect(Number(/in (\d+) chunks/.exec((await summary.textContent()) ?? '')?.[1])).toBeGreaterThan(1);
    expect(await page.locator('#echo-result').textContent()).toMatch(/\(the rest is not shown\)$/);
    expect(complaints).toEqual([]);
  });

  it('leaving the page ends its event stream on the server', async () => {
    await open();
    expect((await demo.stats()).requests.active).toBe(2);
    await page.goto('about:blank');
    await demo.active(0);
    expect(complaints).toEqual([]);
  });

  it('a server that stops ends the stream, and the page says so', async () => {
    await open();
    demo.kill('SIGINT');
    expect([await demo.exited, demo.stderr]).toEqual([0, '']);
    await page.getByText('reconnecting', { exact: true }).waitFor();
    expect(await page.locator('#dot').getAttribute('data-state')).toBe('reconnecting');
  });

  it.each([
    ['light', 'desktop', DESKTOP],
    ['dark', 'desktop', DESKTOP],
    ['light', 'phone', PHONE],
    ['dark', 'phone', PHONE],
  ] as const)(
    '%s, %s: nothing is cut off, everything can be operated and has a name',
    async (colorScheme, name, viewport) => {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize(viewport);
      await open();
      await form('/json').getByRole('button', { name: 'Send 300' }).click();
      await result('/json');
      await form('/stats').getByRole('button').click();
      await result('/stats');
      await page.locator('#echo').getByRole('button').click();
      await page.locator('#echo-summary[data-state="done"]').waitFor();
      await page.locator('#gap').filter({ hasText: /\d/ }).waitFor();
      const { content, width } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { content: scrollWidth, width: clientWidth };
      });
      expect(content).toBeLessThanOrEqual(width);
      const nameless = await page.locator('button, input, textarea, output, svg').evaluateAll((elements) =>
        elements
          .filter((element) => {
            const labels = (element as HTMLInputElement).labels?.length ?? 0;
            const text = element.tagName === 'BUTTON' ? element.textContent : '';
            return !element.hasAttribute('aria-label') && labels === 0 && !text;
          })
          .map(({ outerHTML }) => outerHTML),
      );
      expect(nameless).toEqual([]);
      await screenshot(page, 'demo', `${backend}-${name}-${colorScheme}`);
      expect(complaints).toEqual([]);
    },
  );
});
