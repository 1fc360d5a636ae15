// Tests of the view of logs.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { check, param, until } from './check.mjs';

/** @param {() => import('./stand.mjs').Stand} given */
export function logs(given) {
  // Scenario: the page is opened with nothing but its address. Guarantee: rows, histogram, fields and what was lost
  // are there, light and dark.
  for (const dark of [false, true]) {
    check(
      given,
      `rows, bars, fields and losses (${dark ? 'dark' : 'light'})`,
      '',
      async ({ page, shot }) => {
        await page.locator('.entry').first().waitFor();
        await page.locator('.plot canvas').waitFor();
        assert.ok((await page.locator('.entry').count()) >= 200);
        assert.match(await page.locator('.losses').innerText(), /3.411 of cart shed/);
        assert.match(await page.locator('.fields').innerText(), /order\.id/);
        assert.match(await page.locator('.tools .total').innerText(), /records/);
        await page.locator('[data-row]').nth(20).click();
        await page.locator('.record').waitFor();
        await shot(`logs-${dark ? 'dark' : 'light'}`);
      },
      { dark },
    );
  }

  // Scenario: a value is clicked, and then its contrary is asked for. Guarantee: the query says so, the rows obey,
  // and the back button goes back.
  check(given, 'a value is included and excluded by a click', '#/logs?q=severity%3E%3Derror', async ({ page }) => {
    await page.locator('.entry .value.severity').first().click();
    await page.getByRole('menuitem', { name: 'Without it' }).click();
    await until(async () => (param(page, 'q') ?? '').includes('-severity:error'), 'the exclusion in the address');
    await page.getByText('No record of this window is like that.').waitFor();
    await page.goBack();
    await page.locator('.entry .value.service, .entry .service button').first().click();
    await page.getByRole('menuitem', { name: 'Only with it' }).click();
    await until(async () => /service:/.test(param(page, 'q') ?? ''), 'the inclusion in the address');
    await page.locator('.entry').first().waitFor();
  });

  // Scenario: a word is searched that one line in seventeen has. Guarantee: every row has it, and the count is that
  // of the store.
  check(given, 'a query finds what the store finds', '', async ({ page, stand }) => {
    await page.getByRole('combobox', { name: 'Query' }).fill('declined');
    await page.getByRole('combobox', { name: 'Query' }).press('Enter');
    await until(async () => param(page, 'q') === 'declined', 'the query in the address');
    const { total } = await (await fetch(`${stand.program.origin}/api/logs?q=declined`)).json();
    await until(
      async () => (await page.locator('.tools .total').innerText()).startsWith(`${total} record`),
      `${total} records`,
    );
    for (const text of await page.locator('.cell.body').allInnerTexts()) assert.match(text, /declined/);
  });

  // Scenario: a wrong expression. Guarantee: the page shows where it is wrong and what would be right, and goes on.
  check(
    given,
    'a wrong query shows its place',
    '',
    async ({ page, shot }) => {
      await page.getByRole('combobox', { name: 'Query' }).fill('took>fast');
      await page.getByRole('combobox', { name: 'Query' }).press('Enter');
      await page.locator('.where mark').waitFor();
      assert.match(await page.locator('.broken').innerText(), /is no number/);
      await shot('logs-wrong');
      await page.getByRole('combobox', { name: 'Query' }).fill('charged');
      await page.getByRole('combobox', { name: 'Query' }).press('Enter');
      await page.locator('.entry').first().waitFor();
    },
    { expected: /400 \(Bad Request\)/ },
  );

  // Scenario: a name is begun in the box, and chosen with the keyboard, then a value. Guarantee: both come from what
  // is stored.
  check(given, 'the box completes names and values', '', async ({ page, shot }) => {
    const box = page.getByRole('combobox', { name: 'Query' });
    await box.pressSequentially('card');
    await page.getByRole('option', { name: /card\.brand/ }).waitFor();
    await box.press('ArrowDown');
    await box.press('Enter');
    assert.equal(await box.inputValue(), 'card.brand:');
    await page.getByRole('option', { name: /visa/ }).waitFor();
    await shot('logs-completion');
    await box.press('ArrowDown');
    await box.press('Enter');
    await until(async () => param(page, 'q') === 'card.brand:visa', 'the condition in the address');
  });

  // Scenario: more rows than a page. Guarantee: older ones come below, none twice, in order of time.
  check(given, 'older rows by the cursor', '#/logs?q=service:cart', async ({ page }) => {
    await page.locator('.entry').first().waitFor();
    const before = await page.locator('.entry').count();
    await page
      .locator('.cell.time')
      .first()
      .focus()
      .catch(() => {});
    await page.keyboard.press('o');
    await until(async () => (await page.locator('.entry').count()) > before, 'older rows');
    const times = await page
      .locator('.entry .cell.time')
      .evaluateAll((cells) => cells.map((cell) => cell.getAttribute('title') ?? ''));
    assert.deepEqual(times, [...times].sort().reverse());
    assert.equal(new Set(times).size, times.length);
  });

  // Scenario: columns are chosen in the sidebar, one taken away, the address opened elsewhere. Guarantee: the table
  // has them, an open row too.
  check(
    given,
    'chosen columns, and a row opened in their table',
    '#/logs?q=service:payment',
    async ({ page, stand, shot }) => {
      await page.locator('.entry').first().waitFor();
      for (const name of ['order.id', 'card.brand'])
        await page.getByRole('button', { name: `Column ${name}` }).click();
      await until(async () => param(page, 'cols') === 'order.id,card.brand', 'columns in the address');
      assert.match(await page.locator('.row.head').innerText(), /order\.id/);
      const other = await stand.open(new URL(page.url()).hash);
      await other.page.locator('.row.head', { hasText: 'card.brand' }).waitFor();
      await other.page.locator('[data-row]').nth(1).click();
      await other.page.locator('.record dt', { hasText: 'order.id' }).waitFor();
      await shot('logs-columns');
      await other.close();
    },
  );

  // Scenario: a row is opened and its surroundings asked for. Guarantee: lines before and after it, of its service,
  // then of all.
  check(given, 'surrounding lines', '#/logs?q=declined', async ({ page, shot }) => {
    await page.locator('[data-row]').nth(3).click();
    await page.getByRole('button', { name: 'Surrounding lines' }).click();
    await page.locator('.near.marked').waitFor();
    assert.ok((await page.locator('.near').count()) > 10);
    await page.getByLabel(/only payment/).click();
    await page.locator('.near .service').first().waitFor();
    await shot('logs-around');
  });

  // Scenario: the bars are dragged over, then one is clicked. Guarantee: the window in the address is that stretch,
  // then that bar.
  check(given, 'dragging and clicking the bars zooms', '', async ({ page }) => {
    const over = page.locator('.u-over');
    await over.waitFor();
    const box = /** @type {{ x: number, y: number, width: number, height: number }} */ (await over.boundingBox());
    await page.mouse.move(box.x + box.width * 0.4, box.y + 20);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.6, box.y + 20, { steps: 5 });
    await page.mouse.up();
    await until(async () => param(page, 'from') !== null, 'a window in the address');
    const length = () => Number(BigInt(param(page, 'to') ?? 0) - BigInt(param(page, 'from') ?? 0)) / 60e9;
    assert.ok(Math.abs(length() - 12) < 1, `${length()} minutes of an hour`);
    await page.waitForLoadState('networkidle');
    await page.locator('.u-over').click({ position: { x: box.width * 0.5, y: 30 } });
    await until(async () => length() < 1, 'one bar');
  });

  // Scenario: `j`, `Enter`, `/` and `?` without a mouse. Guarantee: rows are walked and opened, the box is reached,
  // help opens and closes.
  check(given, 'the keyboard alone', '', async ({ page, shot }) => {
    await page.locator('.entry').first().waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await until(
      async () => (await page.locator('.entry').nth(1).locator('.record').count()) === 1,
      'the second row open',
    );
    await page.keyboard.press('/');
    assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-label')), 'Query');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'What the box takes' }).waitFor();
    await shot('help');
    await page.keyboard.press('Escape');
    await until(async () => (await page.locator('dialog').count()) === 0, 'help closed');
  });

  // Scenario: an id of a trace, then a traceparent, is pasted. Guarantee: its trace opens, whichever box it was.
  for (const [name, put] of Object.entries({
    id: (/** @type {string} */ id) => id,
    traceparent: (/** @type {string} */ id) => `00-${id}-00f067aa0ba902b7-01`,
  })) {
    check(given, `a pasted ${name} opens the trace`, '#/services', async ({ page, stand }) => {
      await page.locator('[data-box]').click();
      await page.evaluate((text) => navigator.clipboard.writeText(text), put(stand.failed));
      await page.keyboard.press('Control+v');
      await page.locator('.waterfall .span').first().waitFor();
      assert.match(page.url(), new RegExp(`traces/${stand.failed}`));
    });
  }

  // Scenario: what matched is exported. Guarantee: a file of JSON lines with the records of the query.
  check(given, 'export', '#/logs?q=declined', async ({ page }) => {
    await page.locator('.entry').first().waitFor();
    await page.getByText('Export').click();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'All that match, JSON lines' }).click(),
    ]);
    assert.equal(download.suggestedFilename(), 'bywash-logs.jsonl');
    let text = '';
    for await (const part of /** @type {import('node:stream').Readable} */ (await download.createReadStream()))
      text += part;
    const rows = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.ok(rows.length > 20 && rows.every((row) => row.body.includes('declined')));
  });

  // Scenario: a view is saved, and chosen from the empty box of another view. Guarantee: query and columns come back.
  test('a saved view comes back', { timeout: 60_000 }, async () => {
    const { page, errors, close } = await given().open('#/logs?q=declined&cols=order.id');
    page.on('dialog', (dialog) => dialog.accept('Declined cards'));
    await page.locator('.entry').first().waitFor();
    await page.getByRole('button', { name: 'Save this view' }).click();
    await page.getByRole('button', { name: 'Empty the box' }).click();
    await page.getByRole('combobox', { name: 'Query' }).click();
    await page.getByRole('option', { name: /Declined cards/ }).click();
    await until(async () => param(page, 'q') === 'declined' && param(page, 'cols') === 'order.id', 'the view');
    assert.deepEqual(errors, []);
    await close();
  });
}
