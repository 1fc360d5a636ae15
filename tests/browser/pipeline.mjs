// Tests of services, flow, dead letters and stages.
import assert from 'node:assert/strict';
import { check, param, until } from './check.mjs';

/** @param {() => import('./stand.mjs').Stand} given */
export function pipeline(given) {
  // Scenario: the services, sorted by another column, one looked into. Guarantee: the order is that of the column,
  // and the link asks for the service.
  check(given, 'services', '#/services', async ({ page, shot }) => {
    await page.locator('tbody tr').first().waitFor();
    await shot('services');
    await page.getByRole('button', { name: 'p99' }).click();
    const first = await page.locator('tbody tr td').first().innerText();
    await page.getByRole('button', { name: /p99/ }).click();
    assert.notEqual(await page.locator('tbody tr td').first().innerText(), first);
    await page.locator('tbody tr', { hasText: 'payment' }).getByRole('link', { name: 'logs', exact: true }).click();
    await until(async () => param(page, 'q') === 'service:payment', 'the service in the address');
    await page.locator('.entry').first().waitFor();
  });

  // Scenario: the pipeline while it works. Guarantee: boxes, rates that change, wires, halted lanes with their
  // reason, losses in red, and it stops.
  for (const dark of [false, true]) {
    check(
      given,
      `flow (${dark ? 'dark' : 'light'})`,
      '#/flow',
      async ({ page, shot }) => {
        await page.locator('.flowing b', { hasText: /\d/ }).first().waitFor();
        await until(async () => (await page.locator('.wire.flows').count()) > 1, 'wires that flow');
        const halted = page.locator('.box-of.has-halted', { hasText: 'otlp_http/slow' });
        await until(async () => /refused.*again in \d+ s/s.test(await halted.innerText()), 'why a lane is halted');
        assert.match(await page.locator('.lost').first().innerText(), /shed|refused|failed|dropped/);
        const rate = async () => (await page.locator('.flowing').allInnerTexts()).join();
        const before = await rate();
        await until(async () => (await rate()) !== before, 'another rate');
        await shot(`flow-${dark ? 'dark' : 'light'}`);
        await page.getByRole('button', { name: 'Live' }).click();
        await page.getByRole('button', { name: 'Still' }).waitFor();
      },
      {
        dark,
        before: async (stand) => {
          await stand.lose();
          return stand.pour();
        },
      },
    );
  }

  // Scenario: a letter is looked into, one sent again, the rest discarded but first not. Guarantee: nothing happens
  // without the confirmation; what still cannot be delivered comes back; then all are gone.
  check(
    given,
    'dead letters',
    '#/letters',
    async ({ page, asked, shot }) => {
      const count = () => page.locator('[data-row]').count();
      await page.locator('[data-row]').first().click();
      await page.getByText(/payment \d+ <b>not bold<\/b>/).first().waitFor();
      await shot('letters');
      await page.locator('.record').getByRole('button', { name: 'Replay' }).click();
      await page.locator('dialog').getByRole('button', { name: 'Replay' }).click();
      await page.getByText('1 letter back in the queue.').waitFor();
      await page.getByLabel('Choose all').check();
      await page.getByRole('button', { name: 'Discard chosen' }).click();
      await page.locator('dialog', { hasText: /\d+ letters?/ }).waitFor();
      await shot('letters-confirm');
      await page.getByRole('button', { name: 'Cancel' }).click();
      assert.ok((await count()) > 0);
      assert.ok(!asked.some((one) => one.includes('/discard')));
      await until(async () => {
        if ((await count()) === 0) return true;
        await page.getByLabel('Choose all').check();
        await page.getByRole('button', { name: 'Discard chosen' }).click();
        await page.locator('dialog').getByRole('button', { name: 'Discard' }).click();
        await page.getByText(/gone|There are no dead letters/).first().waitFor();
        return false;
      }, 'no letters');
      await page.getByText('There are no dead letters.').waitFor();
    },
    { before: (stand) => stand.lose() },
  );

  // Scenario: the example is run, then stages that are wrong. Guarantee: steps with what changed and what was
  // dropped; the line of the error is selected.
  check(
    given,
    'stages',
    '#/stages',
    async ({ page, shot }) => {
      await page.getByLabel('Stages YAML').press('Control+Enter');
      await page.locator('.stage-entry').nth(2).waitFor();
      assert.match(await page.locator('.stage-entry.dropped').innerText(), /dropped: drop_stage/);
      assert.match(await page.locator('.stage-entry').first().innerText(), /order placed/);
      await shot('stages');
      await page.getByLabel('Stages YAML').fill('- json: {expressions: {a: }}\n- jsn: {}\n');
      await page.getByRole('button', { name: /^Run/ }).click();
      await page.getByText(/did you mean/).waitFor();
      assert.equal(await page.evaluate(() => getSelection()?.toString()), '- jsn: {}');
      await page.reload();
      assert.equal(await page.getByLabel('Stages YAML').inputValue(), '- json: {expressions: {a: }}\n- jsn: {}\n');
    },
    { expected: /400 \(Bad Request\)/ },
  );
}
