/** The page of examples/chat, in two real browsers' pages that talk to one another. Screenshots go to gammaloop-chat/ in the system's folder for temporary files. */
import type { Page } from 'playwright-core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hearComplaints, mayLaunch, screenshot, useBrowser } from '../demo/browser.js';
import { backends } from '../support/backends.js';
import { ExampleProcess } from '../support/example-process.js';
import { freePort } from '../support/free-port.js';

const DESKTOP = { width: 1100, height: 760 };
const PHONE = { width: 375, height: 760 };

const browser = useBrowser();

describe.runIf(mayLaunch).each(backends)('the chat page on %s', (backend) => {
  let chat: ExampleProcess;
  let env: Record<string, string>;
  const pages: Page[] = [];
  /** What the browsers complain about: errors and warnings in their consoles, exceptions. */
  const complaints: string[] = [];

  beforeEach(async () => {
    complaints.length = 0;
    env = { PORT: String(await freePort()) };
    chat = await new ExampleProcess('chat/server.mjs', backend, env).started();
  });
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
  });

  /** A browser of its own, as far as pages can tell. */
  async function enter(name: string, viewport = DESKTOP, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
    const page = await browser.newPage({ viewport, colorScheme });
    pages.push(page);
    hearComplaints(page, complaints);
    await page.goto(chat.url);
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Enter' }).click();
    await page.getByText(`connected as ${name}`, { exact: true }).waitFor();
    await page.getByRole('button', { name: '# lobby' }).waitFor();
    return page;
  }

  const say = async (page: Page, text: string): Promise<void> => {
    await page.getByLabel('Message').fill(text);
    await page.getByLabel('Message').press('Enter');
  };
  const hears = (page: Page, who: string, text: string) =>
    page.getByRole('log').getByRole('listitem').filter({ hasText: who }).filter({ hasText: text }).waitFor();
  const joinRoom = async (page: Page, room: string): Promise<void> => {
    await page.getByLabel('Room to join').fill(room);
    await page.getByRole('button', { name: 'Join' }).click();
    await page.getByRole('heading', { name: `# ${room}` }).waitFor();
  };

  test('two pages talk: messages, who is there, markup stays text', async () => {
    const ada = await enter('Ada');
    const bob = await enter('Bob');
    await hears(ada, '', 'Bob has come');
    await ada.getByRole('list', { name: 'Here' }).getByText('Bob', { exact: true }).waitFor();
    await bob.getByRole('list', { name: 'Here' }).getByText('Bob (you)', { exact: true }).waitFor();
    await say(ada, 'Grüße, 世界 🎉');
    await hears(bob, 'Ada', 'Grüße, 世界 🎉');
    await hears(ada, 'Ada', 'Grüße, 世界 🎉');
    await say(bob, '<img src=x onerror="document.title=1"> <b>bold</b>');
    await hears(ada, 'Bob', '<img src=x onerror="document.title=1"> <b>bold</b>');
    expect([await ada.title(), await ada.locator('#log img, #log b').count()]).toEqual(['gammaloop chat', 0]);
    await bob.close();
    await hears(ada, '', 'Bob has left');
    expect(complaints).toEqual([]);
  });

  test('rooms are apart; what is missed in one is counted, and read there; who comes later gets what was said', async () => {
    const ada = await enter('Ada');
    const bob = await enter('Bob');
    await joinRoom(ada, 'garden');
    await joinRoom(bob, 'garden');
    await say(bob, 'roses');
    await hears(ada, 'Bob', 'roses');
    await bob.getByRole('button', { name: '# lobby' }).click();
    await say(bob, 'one');
    await say(bob, 'two');
    await ada.getByRole('button', { name: '# lobby 2 unread' }).waitFor();
    expect(await ada.getByRole('log').getByText('two').count()).toBe(0);
    await ada.getByRole('button', { name: '# lobby' }).click();
    await hears(ada, 'Bob', 'two');
    await ada.getByRole('button', { name: 'Leave' }).click();
    await hears(bob, '', 'Ada has left');
    await ada.getByRole('heading', { name: '# garden' }).waitFor();
    const eve = await enter('Eve');
    await hears(eve, 'Bob', 'one');
    await joinRoom(eve, 'garden');
    await hears(eve, 'Bob', 'roses');
    await eve.getByLabel('Room to join').fill('two words');
    await eve.getByRole('button', { name: 'Join' }).click();
    await eve.getByRole('alert').filter({ hasText: 'A room is named by' }).waitFor();
    expect(complaints).toEqual([]);
  });

  test('a server that goes away and comes back: the pages return to their rooms by themselves', async () => {
    const ada = await enter('Ada');
    const bob = await enter('Bob');
    await joinRoom(ada, 'garden');
    await joinRoom(bob, 'garden');
    chat.kill('SIGTERM');
    expect(await chat.exited).toBe(0);
    await ada.getByText('reconnecting').waitFor();
    chat = await new ExampleProcess('chat/server.mjs', backend, env).started();
    for (const [page, name] of [
      [ada, 'Ada'],
      [bob, 'Bob'],
    ] as const) {
      await page.getByText(`connected as ${name}`).waitFor();
      await page.getByRole('heading', { name: '# garden' }).waitFor();
    }
    await ada.getByRole('list', { name: 'Here' }).getByText('Bob', { exact: true }).waitFor();
    await say(ada, 'back again');
    await hears(bob, 'Ada', 'back again');
  });

  test.each([
    ['light', 'desktop', DESKTOP],
    ['dark', 'phone', PHONE],
  ] as const)('%s, %s: nothing is cut off, everything has a name', async (scheme, name, viewport) => {
    const ada = await enter('Ada', viewport, scheme);
    const bob = await enter('Bob', viewport, scheme);
    await joinRoom(ada, 'garden');
    await say(ada, 'Has anybody watered the roses?');
    await say(bob, 'A long line without an end: '.repeat(8));
    await say(bob, 'x'.repeat(300));
    await ada.getByRole('button', { name: '2 unread' }).waitFor();
    await say(ada, 'I have.');
    await screenshot(ada, 'chat', `${backend}-${name}-garden`);
    await ada.getByRole('button', { name: '# lobby' }).click();
    await hears(ada, 'Bob', 'xxx');
    await screenshot(ada, 'chat', `${backend}-${name}-lobby`);
    const { content, width } = await ada.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return { content: scrollWidth, width: clientWidth };
    });
    expect(content).toBeLessThanOrEqual(width);
    const nameless = await ada.locator('button, input, ol, ul').evaluateAll((elements) =>
      elements
        .filter((element) => {
          const labels = (element as HTMLInputElement).labels?.length ?? 0;
          const text = element.tagName === 'BUTTON' ? element.textContent : '';
          return (
            !element.hasAttribute('aria-label') && !element.hasAttribute('aria-labelledby') && labels === 0 && !text
          );
        })
        .map(({ outerHTML }) => outerHTML),
    );
    expect(nameless).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
