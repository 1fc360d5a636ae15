// A test of a view: opens it, and fails on any error of the console at its end.
import { test } from 'node:test';
import assert from 'node:assert/strict';

/**
 * @param {() => import('./stand.mjs').Stand} given @param {string} name @param {string | ((stand:
 *   import('./stand.mjs').Stand) => string)} hash
 * @param {(all: import('./browser.mjs').Opened & { stand: import('./stand.mjs').Stand }) => Promise<void>} run
 * @param {import('./browser.mjs').How & { before?: (stand: import('./stand.mjs').Stand) => void }} [how] before: what
 *   the server is told first
 */
export function check(given, name, hash, run, how = {}) {
  test(name, { timeout: 180_000 }, async () => {
    const stand = given();
    how.before?.(stand);
    const opened = await stand.open(typeof hash === 'string' ? hash : hash(stand), how);
    try {
      await run({ ...opened, stand });
      assert.deepEqual(opened.errors, []);
    } catch (error) {
      await opened.shot(`failed ${name}`.replace(/[^\w]+/g, '-').slice(0, 80));
      throw error;
    } finally {
      await opened.close();
    }
  });
}

/** Waits until something holds of the page. @param {() => Promise<boolean>} holds @param {string} what */
export async function until(holds, what) {
  const end = Date.now() + 40_000;
  while (!(await holds())) {
    if (Date.now() > end) assert.fail(`it never came: ${what}`);
    await new Promise((done) => setTimeout(done, 40));
  }
}

/** @param {import('playwright-core').Page} page @param {string} name */
export const param = (page, name) => new URLSearchParams(new URL(page.url()).hash.split('?')[1] ?? '').get(name);
