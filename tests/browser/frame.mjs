// Tests of the frame: token, tenants, window, theme, phones, errors, first paint.
import assert from 'node:assert/strict';
import { check, param, until } from './check.mjs';

const VIEWS = {
  logs: '.entry',
  traces: '.trace-list a.row',
  services: 'tbody tr',
  flow: '.box-of',
  letters: '[data-row]',
  stages: 'textarea',
};

/** @param {() => import('./stand.mjs').Stand} given */
export function frame(given) {
  // Scenario: the API wants a token. Guarantee: the page asks, says when it is wrong, then works, streams too; the
  // token is in no address.
  check(
    given,
    'a token',
    '#/logs?live=1',
    async ({ page, stand, shot }) => {
      await page.getByRole('heading', { name: 'A token is needed' }).waitFor();
      await shot('token');
      await page.getByLabel('Token', { exact: true }).fill('wrong');
      await page.getByRole('button', { name: 'Use it' }).click();
      await page.locator('.wrong').waitFor();
      await page.getByLabel('Token', { exact: true }).fill('sesame');
      await page.getByRole('button', { name: 'Use it' }).click();
      await page.locator('.entry').first().waitFor();
      assert.ok(!stand.server.asked.some((asked) => asked.includes('sesame')) && !page.url().includes('sesame'));
      assert.equal(await page.evaluate(() => sessionStorage.getItem('bywash.token')), 'sesame');
      assert.equal(await page.evaluate(() => JSON.stringify({ ...localStorage }).includes('sesame')), false);
      await page
        .getByText(/live line/)
        .first()
        .waitFor();
    },
    { expected: /401/, before: (stand) => void (stand.server.behaviour.token = 'sesame') },
  );

  // Scenario: several tenants. Guarantee: the one that is chosen is asked for, in every view.
  check(
    given,
    'tenants',
    '#/logs',
    async ({ page, stand }) => {
      await page.getByLabel('Tenant').selectOption('acme');
      await page.getByText('There is no record in this window.').waitFor();
      assert.ok(
        stand.server.asked.some((asked) => asked.startsWith('GET /api/logs') && asked.includes('tenant=acme')),
      );
      await page.getByRole('link', { name: 'Traces', exact: true }).click();
      await page.getByText('There is no trace in this window.').waitFor();
      assert.equal(param(page, 'tenant'), 'acme');
    },
    { before: (stand) => void (stand.server.behaviour.script.tenants = ['default', 'acme']) },
  );

  // Scenario: nothing is stored in the window. Guarantee: each view says so, and where data is to be sent.
  for (const [view, told] of Object.entries({
    logs: 'There is no record in this window.',
    traces: 'There is no trace in this window.',
    services: 'No service sent anything',
    letters: 'There are no dead letters.',
  })) {
    check(
      given,
      `nothing: ${view}`,
      `#/${view}?from=1000000000000000000&to=1000000001000000000`,
      async ({ page, shot }) => {
        await page.getByText(told).waitFor();
        if (view !== 'letters') await page.getByText('127.0.0.1:4317').waitFor();
        await shot(`nothing-${view}`);
      },
      { before: (stand) => void (stand.server.behaviour.script.empty = true) },
    );
  }

  // Scenario: the store fails, or the process is gone. Guarantee: each view says what is wrong; when it is right
  // again, `r` shows data.
  for (const view of ['logs', 'traces', 'services', 'flow', 'letters']) {
    check(
      given,
      `an error: ${view}`,
      `#/${view}`,
      async ({ page, stand, shot }) => {
        await page.getByText('the disk of the store fails').first().waitFor();
        await shot(`error-${view}`);
        stand.server.reset();
        await page.locator('main').focus();
        await page.keyboard.press('r');
        await page
          .locator(VIEWS[/** @type {keyof typeof VIEWS} */ (view)])
          .first()
          .waitFor();
      },
      {
        expected: /500/,
        before: (stand) =>
          void (stand.server.behaviour.failing = [
            '/api/logs',
            '/api/traces',
            '/api/services',
            '/api/pipeline',
            '/api/dead-letters',
          ]),
      },
    );
  }
  check(
    given,
    'the process is gone',
    '#/logs',
    async ({ page }) => {
      await page.getByText('Bywash does not answer.').first().waitFor();
    },
    { expected: /ERR_/, before: (stand) => void (stand.server.behaviour.gone = true) },
  );

  // Scenario: a phone. Guarantee: no view is wider than the screen, and each has its data.
  for (const [view, sign] of Object.entries(VIEWS)) {
    check(
      given,
      `a phone: ${view}`,
      `#/${view}`,
      async ({ page, shot }) => {
        await page.locator(sign).first().waitFor();
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits');
        await shot(`phone-${view}`);
      },
      { phone: true },
    );
  }
  check(
    given,
    'a phone: a trace',
    (stand) => `#/traces/${stand.failed}`,
    async ({ page, shot }) => {
      await page.locator('.span', { hasText: 'payment.Charge' }).first().tap();
      await page.locator('.details').waitFor();
      await shot('phone-trace');
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits');
    },
    { phone: true },
  );

  // Scenario: the window is chosen in one view. Guarantee: the others have it; a custom one too; the address says so.
  check(given, 'one window for all views', '#/logs', async ({ page }) => {
    await page.getByLabel('Window of time').selectOption('6h');
    await page.getByRole('link', { name: 'Traces', exact: true }).click();
    assert.equal(param(page, 'range'), '6h');
    await page.getByLabel('Window of time').selectOption('other');
    await page.getByLabel('From', { exact: true }).fill('2024-05-06T07:08:10');
    await page.getByLabel('To', { exact: true }).fill('2024-05-06T08:08:10');
    await page.getByRole('button', { name: 'Use it' }).click();
    await until(async () => Number(param(page, 'to')) - Number(param(page, 'from')) === 3600e9, 'an hour');
    await page.getByRole('link', { name: 'Services', exact: true }).click();
    assert.ok(param(page, 'from'));
  });

  // Scenario: the theme is turned, and the page loaded again. Guarantee: it stays turned.
  check(given, 'light and dark', '#/stages', async ({ page }) => {
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
    assert.equal(await theme(), 'light');
    await page.getByRole('button', { name: 'Light or dark' }).click();
    assert.equal(await theme(), 'dark');
    await page.reload();
    assert.equal(await theme(), 'dark');
  });

  // Scenario: a cold load. Guarantee: it is painted soon, of few bytes; the figures are printed.
  check(given, 'first paint', '#/logs', async ({ page }) => {
    await page.locator('.entry').first().waitFor();
    const rows = await page.evaluate(() => performance.now());
    const [paint, size, files] = await page.evaluate(() => [
      performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0,
      performance
        .getEntriesByType('resource')
        .filter((one) => !one.name.includes('/api/'))
        .reduce((all, one) => all + /** @type {PerformanceResourceTiming} */ (one).decodedBodySize, 0),
      performance.getEntriesByType('resource').filter((one) => !one.name.includes('/api/')).length,
    ]);
    const kib = Math.round(size / 1024);
    console.log(`paint ${Math.round(paint)} ms, rows by ${Math.round(rows)} ms, ${files} files, ${kib} KiB`);
    assert.ok(size < 300 * 1024, `${size} bytes`);
    assert.ok(paint < 5000, `painted after ${paint} ms`);
  });

  // Scenario: focus goes through the page with Tab. Guarantee: the skip link first, then the views, then the box,
  // each visible.
  check(given, 'the order of the focus', '#/logs', async ({ page }) => {
    await page.locator('.entry').first().waitFor();
    const names = [];
    for (let at = 0; at < 9; at++) {
      await page.keyboard.press('Tab');
      names.push(
        await page.evaluate(
          () => document.activeElement?.textContent?.trim() || document.activeElement?.getAttribute('aria-label'),
        ),
      );
    }
    assert.deepEqual(names.slice(0, 8), [
      'Skip to the view',
      'bywash',
      'Logs',
      'Traces',
      'Services',
      'Flow',
      'Dead letters',
      'Stages',
    ]);
  });
}
