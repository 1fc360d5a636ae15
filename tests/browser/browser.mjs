// The browser: pages that fail their test on any error that the console or the policy tells.
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.env.NODE_CACHE ?? process.cwd(), 'package.json'));
/** @type {typeof import('playwright-core')} */
const { chromium } = require('playwright-core');

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });

/**
 * @typedef {{ dark?: boolean, phone?: boolean, expected?: RegExp, storage?: Record<string,
 *   string> }} How  expected: errors of the console that the test brings about
 * @typedef {{ page: import('playwright-core').Page, errors: string[], shot: (name: string) => Promise<void>,
 *   close: () => Promise<void> }} Opened
 */

/**
 * Opens a view and waits until it stands.
 * @param {import('playwright-core').Browser} browser @param {string} origin @param {string} hash
 * @param {How} [how]
 * @returns {Promise<Opened>}
 */
export async function open(
  browser,
  origin,
  hash,
  { dark = false, phone = false, expected = /^$/, storage = {} } = {},
) {
  const context = await browser.newContext({
    viewport: phone ? { width: 390, height: 800 } : { width: 1360, height: 850 },
    deviceScaleFactor: phone ? 2 : 1,
    colorScheme: dark ? 'dark' : 'light',
    acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
    hasTouch: phone,
    isMobile: phone,
  });
  await context.addInitScript((kept) => {
    for (const [name, value] of Object.entries(kept)) localStorage.setItem(name, value);
  }, storage);
  const page = await context.newPage();
  page.setDefaultTimeout(40_000);
  /** @type {string[]} */
  const errors = [];
  const note = (/** @type {string} */ text) => expected.test(text) || errors.push(text);
  page.on('pageerror', (error) => note(`${error.message}\n${error.stack}`));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && note(message.text()));
  page.on(
    'request',
    (request) => /^(https?:\/\/127\.0\.0\.1|data:|blob:)/.test(request.url()) || note(`asked ${request.url()}`),
  );
  await page.goto(`${origin}/${hash}`);
  return {
    page,
    errors,
    async shot(name) {
      const folder = process.env.SCREENSHOTS;
      if (!folder) return;
      await mkdir(folder, { recursive: true });
      await page.screenshot({ path: join(folder, `${name}.png`) });
    },
    close: () => context.close(),
  };
}
