// Tests of the list of traces, and of one trace.
import assert from 'node:assert/strict';
import { check, param, until } from './check.mjs';

/** @param {() => import('./stand.mjs').Stand} given */
export function traces(given) {
  // Scenario: the list, filtered by service, duration and errors. Guarantee: what is listed is like that: it is the
  // trace's duration, not a span's.
  check(given, 'the list and its filters', '#/traces', async ({ page, shot }) => {
    await page.locator('.trace-list a.row').first().waitFor();
    await shot('traces');
    await page.getByLabel('Service', { exact: true }).selectOption('payment');
    await page.getByLabel('At least').fill('200ms');
    await page.getByRole('button', { name: 'Find' }).click();
    await until(async () => param(page, 'min') === '200ms' && param(page, 'service') === 'payment', 'the filters');
    await page.waitForLoadState('networkidle');
    const took = await page.locator('.trace-list .long span').allInnerTexts();
    assert.ok(took.length > 10);
    for (const text of took) assert.ok(!/ms$/.test(text) || Number(text.split(' ')[0]) >= 200, text);
    await page.getByLabel('errors', { exact: true }).check();
    await until(async () => param(page, 'errors') === '1', 'only errors');
    await until(async () => (await page.locator('.trace-list .num.muted').count()) === 0, 'only traces with errors');
    await page.getByLabel('At least').fill('fast');
    await page.getByRole('button', { name: 'Find' }).click();
    await page.getByText(/A duration is written as/).waitFor();
  });

  // Scenario: a trace that failed is opened and walked with the keyboard. Guarantee: spans and logs in order,
  // failures and the critical path
  // marked, details of span and log, folding.
  check(
    given,
    'waterfall, logs between, details',
    (stand) => `#/traces/${stand.failed}`,
    async ({ page, shot }) => {
      await page.locator('.waterfall .span[role="treeitem"]').first().waitFor();
      assert.ok((await page.locator('.bar-of.failed').count()) >= 2);
      assert.ok((await page.locator('.bar-of.critical').count()) >= 2);
      assert.ok((await page.locator('.span.log', { hasText: 'card declined' }).count()) === 1);
      await page.locator('.span', { hasText: 'payment.Charge' }).first().click();
      const details = page.locator('.details');
      assert.match(await details.innerText(), /insufficient_funds/);
      assert.match(await details.innerText(), /card\.brand/);
      await shot('trace');
      const bar = await page.locator('.span.chosen .bar-of').boundingBox();
      const cell = await page.locator('.span.chosen .span-time').boundingBox();
      assert.ok(bar && cell && bar.height > 10 && cell.height > 20, 'the bar of the chosen span is seen');
      const all = await page.locator('.span[role="treeitem"]').count();
      await page.keyboard.press('h');
      await until(async () => (await page.locator('.span[role="treeitem"]').count()) < all, 'folded');
      await page.keyboard.press('l');
      await until(async () => (await page.locator('.span[role="treeitem"]').count()) === all, 'unfolded');
      await page.getByLabel('logs between').click();
      assert.equal(await page.locator('.span.log').count(), 0);
      assert.ok((await page.locator('.span-time .mark').count()) > 2);
      await page.getByRole('link', { name: 'Logs of it' }).click();
      await page.locator('.entry', { hasText: 'card declined' }).waitFor();
      await page.locator('[data-row]').first().click();
      await page.getByRole('link', { name: 'Trace', exact: true }).click();
      await page.locator('.details', { hasText: 'payment.Charge' }).waitFor();
    },
  );

  // Scenario: ten thousand spans, three hundred deep. Guarantee: few lines are drawn, scrolling and keys answer,
  // deep names have room, a search
  // by an attribute finds, folding leaves one subtree.
  check(
    given,
    'ten thousand spans',
    (stand) => `#/traces/${stand.big}`,
    async ({ page, shot }) => {
      await page.locator('.waterfall .span[role="treeitem"]').first().waitFor({ timeout: 90_000 });
      assert.match(await page.locator('.facts').innerText(), /10.000 spans/);
      assert.ok((await page.locator('.span').count()) < 150, 'lines that are drawn');
      await shot('trace-large');
      const longest = await page.evaluate(async () => {
        const list = /** @type {HTMLElement} */ (document.querySelector('.windowed'));
        let most = 0;
        for (let at = 0; at < 8; at++) {
          const began = performance.now();
          list.scrollTop += 30_000;
          await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
          most = Math.max(most, performance.now() - began);
        }
        return most;
      });
      assert.ok(longest < 5000, `a step of scrolling took ${longest} ms`);
      await page.getByLabel('Find in this trace').fill('item.number=7777');
      await page.getByLabel('Find in this trace').press('Enter');
      await page.locator('.span.chosen', { hasText: '#7777' }).waitFor();
      assert.match(await page.locator('.find').innerText(), /1 of 1/);
      await page.getByLabel('Find in this trace').fill('step 290 ');
      await page.getByLabel('Find in this trace').press('Enter');
      const deep = page.locator('.span.chosen .name');
      await deep.filter({ hasText: 'step 290 of a recursion that is deep' }).waitFor();
      const [name, column] = [await deep.boundingBox(), await page.locator('.span.chosen .span-name').boundingBox()];
      assert.ok(name && column && name.x - column.x < column.width * 0.75, 'room for the name');
      await shot('trace-deep');
      await page.getByRole('button', { name: 'Fold all' }).click();
      await until(
        async () => Number(await page.locator('.windowed-all').evaluate((all) => all.clientHeight)) < 26 * 2000,
        'folded',
      );
    },
  );

  // Scenario: a stretch is dragged over on the minimap, on the ruler, then the whole asked for. Guarantee: the ruler
  // shows the stretch.
  check(
    given,
    'zoom by dragging',
    (stand) => `#/traces/${stand.failed}`,
    async ({ page, shot }) => {
      await page.locator('.waterfall .span[role="treeitem"]').first().waitFor();
      const whole = await page.locator('.tick').allInnerTexts();
      for (const place of ['.minimap', '.drag-over']) {
        const before = await page.locator('.tick').allInnerTexts();
        const box = /** @type {{ x: number, y: number, width: number, height: number }} */ (
          await page.locator(place).boundingBox()
        );
        await page.mouse.move(box.x + box.width * 0.5, box.y + 12);
        await page.mouse.down();
        await page.mouse.move(box.x + box.width * 0.8, box.y + 12, { steps: 4 });
        await page.mouse.up();
        await until(
          async () => (await page.locator('.tick').allInnerTexts()).join() !== before.join(),
          `zoom on ${place}`,
        );
      }
      await shot('trace-zoom');
      await page.keyboard.press('0');
      await until(async () => (await page.locator('.tick').allInnerTexts()).join() === whole.join(), 'the whole');
    },
  );

  // Scenario: a trace that is not there. Guarantee: the page says so and leads back.
  check(
    given,
    'no such trace',
    '#/traces/00000000000000000000000000000abc',
    async ({ page }) => {
      await page.getByText('there is no such trace').waitFor();
      await page.getByRole('link', { name: 'All traces' }).click();
      await page.locator('.trace-list a.row').first().waitFor();
    },
    { expected: /404/ },
  );
}
