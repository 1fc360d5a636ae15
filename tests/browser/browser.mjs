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
 * @typedef {{ dark?: boolean, phone?: boolean, expected?: RegExp, storage?: Record<string, string>, origin?: string,
 *   failing?: string[], isGone?: boolean }} How  expected: errors of the console that the test brings about; failing:
 *   what is answered with 500, by the beginning of the path; isGone: no question is answered
 * @typedef {{ page: import('playwright-core').Page, errors: string[], asked: string[],
 *   shot: (name: string) => Promise<void>, heal: () => Promise<void>, close: () => Promise<void> }} Opened
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
  { dark = false, phone = false, expected = /^$/, storage = {}, failing = [], isGone = false } = {},
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
  // What the network, or the program, may do at any time and cannot be told to.
  const isApi = (/** @type {URL} */ url) => url.pathname.startsWith('/api');
  if (isGone) await context.route(isApi, (route) => route.abort('connectionrefused'));
  if (failing.length)
    await context.route(isApi, (route) =>
      failing.some((path) => new URL(route.request().url()).pathname.startsWith(path))
        ? route.fulfill({ status: 500, json: { error: 'the disk of the store fails', at: null } })
        : route.fallback(),
    );
  const page = await context.newPage();
  /** @type {string[]} */
  const asked = [];
  page.setDefaultTimeout(40_000);
  /** @type {string[]} */
  const errors = [];
  const note = (/** @type {string} */ text) => expected.test(text) || errors.push(text);
  page.on('pageerror', (error) => note(`${error.message}\n${error.stack}`));
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && note(message.text()));
  page.on('request', (request) => asked.push(`${request.method()} ${request.url().slice(origin.length)}`));
  page.on(
    'request',
    (request) => /^(https?:\/\/127\.0\.0\.1|data:|blob:)/.test(request.url()) || note(`asked ${request.url()}`),
  );
  await page.goto(`${origin}/${hash}`);
  return {
    page,
    errors,
    asked,
    /** Whatever failed works again. */
    heal: () => context.unrouteAll({ behavior: 'ignoreErrors' }),
    async shot(name) {
      const folder = process.env.SCREENSHOTS;
      if (!folder) return;
      await mkdir(folder, { recursive: true });
      await page.screenshot({ path: join(folder, `${name}.png`) });
    },
    close: () => context.close(),
  };
}
