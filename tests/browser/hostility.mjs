// Data that would harm a page that trusts it does nothing here.
import assert from 'node:assert/strict';
import { check, until } from './check.mjs';
import { HOSTILE } from './data.mjs';

/** @param {() => import('./stand.mjs').Stand} given */
export function hostility(given) {
  /** @param {import('playwright-core').Page} page */
  const unhurt = async (page) =>
    assert.equal(
      await page.evaluate(
        () =>
          'hurt' in window ||
          document.querySelector('main img, main script, main iframe, [onclick], [onload]') !== null,
      ),
      false,
    );

  // Scenario: lines with markup, scripts, escape sequences, signs that turn the direction, and of a megabyte; all
  // are opened, searched, filtered,
  // shown as columns. Guarantee: they are shown as text, whole if asked; nothing of them runs, nothing is fetched;
  // the policy has nothing to say.
  check(given, 'hostile lines in the logs', '#/logs?q=kind.of:*&cols=kind.of', async ({ page, shot }) => {
    await until(async () => (await page.locator('.entry').count()) === Object.keys(HOSTILE).length, 'all lines');
    for (let at = 0; at < Object.keys(HOSTILE).length; at++) await page.locator('.entry > .row').nth(at).click();
    await until(async () => (await page.locator('.record').count()) === Object.keys(HOSTILE).length, 'all open');
    await shot('hostile');
    const bodies = (await page.locator('.record-body').allInnerTexts()).join('\n');
    assert.ok(bodies.includes(HOSTILE.image) && bodies.includes('<script>window.hurt=1</script>'));
    assert.ok(bodies.includes('␛[31mred') && bodies.includes('␀nul') && bodies.includes('⟨U+202E⟩gpj.exe'));
    await page.getByRole('button', { name: /Show all 1 MiB/ }).click();
    await until(
      async () => (await page.locator('.record-body').allInnerTexts()).some((text) => text.endsWith('the end')),
      'the whole line',
    );
    await page.getByRole('button', { name: 'Only with it' }).count();
    await page.locator('.entry .service button').first().click();
    await page.getByRole('menuitem', { name: 'Only with it' }).click();
    await page.locator('.entry').first().waitFor();
    await page.locator('.field-name', { hasText: 'kind.of' }).click();
    await page.locator('.values li', { hasText: 'script' }).first().waitFor();
    await unhurt(page);
  });

  // Scenario: a trace whose service, span, status and attributes are markup. Guarantee: as above, in the waterfall,
  // the details and the list.
  check(
    given,
    'a hostile trace',
    (stand) => `#/traces/${stand.bad}`,
    async ({ page, shot }) => {
      await page.locator('.waterfall .span[role="treeitem"]').first().click();
      await page.locator('.details').waitFor();
      await shot('hostile-trace');
      await unhurt(page);
      await page.goto(`${new URL(page.url()).origin}/#/traces`);
      await page.locator('.trace-list a.row').first().waitFor();
      await page.goto(`${new URL(page.url()).origin}/#/services`);
      await page.locator('tbody tr', { hasText: '<img src=x' }).waitFor();
      await unhurt(page);
    },
  );

  // Scenario: an address that was made to harm. Guarantee: its parts are text, or nothing.
  check(
    given,
    'a hostile address',
    '#/%3Cimg%20src=x%20onerror=hurt=1%3E?q=%3Cscript%3E&range=javascript:alert(1)&cols=%3Cb%3E',
    async ({ page }) => {
      await page.getByText('There is no such view.').waitFor();
      await page.getByRole('link', { name: 'Logs', exact: true }).click();
      await page.locator('.box').waitFor();
      await unhurt(page);
    },
  );

  // Scenario: a page that was made to break the policy. Guarantee: the tests would see it: an inline script is
  // refused, and told.
  check(given, 'the policy holds, and these tests notice', '#/stages', async ({ page, errors }) => {
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = 'window.hurt = 1';
      document.body.append(script);
    });
    await until(async () => errors.some((error) => /Content Security Policy/.test(error)), 'a report');
    errors.length = 0;
    await page.evaluate(() => document.querySelector('body > script')?.remove());
    await unhurt(page);
  });
}
