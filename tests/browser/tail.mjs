// Tests of the live tail.
import assert from 'node:assert/strict';
import { check, until } from './check.mjs';

/** @param {() => import('./stand.mjs').Stand} given */
export function tail(given) {
  const first = '.rows .entry:first-of-type .body, .rows .entry .body';

  // Scenario: rows come while the reader is at the top. Guarantee: they are on top, the newest first, in front of
  // the stored ones.
  check(given, 'new rows come on top', '#/logs?live=1', async ({ page, shot }) => {
    await page.getByText('live line 1', { exact: true }).waitFor();
    await until(
      async () => Number((await page.locator(first).first().innerText()).replace('live line ', '')) > 30,
      'thirty lines',
    );
    await page.getByText(/12 records went by unseen/).waitFor();
    await shot('logs-live');
  });

  // Scenario: the reader scrolls down, or opens a row, while rows come. Guarantee: nothing moves; what came waits,
  // and comes when it is asked for.
  check(given, 'it does not jump while one reads', '#/logs?live=1', async ({ page, shot }) => {
    await page.getByText('live line 4', { exact: true }).waitFor();
    await page.locator('.rows').evaluate((rows) => (rows.scrollTop = 900));
    await page.getByText(/Paused: \d+ new rows? above/).waitFor();
    const where = () =>
      page.locator('.rows').evaluate((rows) => [rows.scrollTop, rows.querySelectorAll('.entry').length]);
    const before = await where();
    await page.waitForFunction(
      () => Number(/(\d+) new/.exec(document.querySelector('.tail-bar')?.textContent ?? '')?.[1]) > 20,
    );
    assert.deepEqual(await where(), before);
    await shot('logs-paused');
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Live: new rows come on top').waitFor();
    assert.equal((await where())[0], 0);
    await page.locator('[data-row]').first().click();
    await page.getByText(/^Paused/).waitFor();
    await page.locator('.record').waitFor();
  });

  // Scenario: a flood. Guarantee: the page keeps a bounded number of rows, answers keys, and says what went by.
  check(
    given,
    'a flood does not drown the page',
    '#/logs?live=1',
    async ({ page }) => {
      await page.getByText(/went by unseen/).waitFor();
      const newest = async () => Number(/\d+/.exec(await page.locator(first).first().innerText())?.[0]);
      await until(async () => (await newest()) > 3000, 'three thousand lines');
      const shown = await page.locator('.entry').count();
      assert.ok(shown >= 500 && shown <= 700, `${shown} rows`);
      const began = Date.now();
      await page.keyboard.press('?');
      await page.getByRole('heading', { name: 'Keys' }).waitFor();
      assert.ok(Date.now() - began < 10_000, `help came after ${Date.now() - began} ms`);
    },
    { before: (stand) => Object.assign(stand.server.behaviour.script, { tailRows: 200, tailEvery: 150 }) },
  );

  // Scenario: the process goes away while the tail runs, and comes back. Guarantee: the page says so, and goes on by
  // itself.
  check(
    given,
    'it comes back after a break',
    '#/logs?live=1',
    async ({ page, stand }) => {
      await page.getByText('live line 2', { exact: true }).waitFor();
      stand.server.behaviour.gone = true;
      stand.server.cut();
      await page.locator('.tail-bar', { hasText: /does not answer|ended|trying/ }).waitFor();
      stand.server.behaviour.gone = false;
      await page.getByText('Live: new rows come on top').waitFor();
    },
    { expected: /ERR_|Failed to load/ },
  );
}
