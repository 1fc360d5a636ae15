// What is known of a span, or of a log record between spans.
import { html, useState } from '../../html.js';
import { address, go } from '../../place.js';
import { clock, duration, exact, nanos } from '../../time.js';
import { copy, line, shown, visible } from '../../text.js';
import { condition } from '../../query.js';
import { clicked, ValueMenu } from '../../parts/menu.js';
import { Group, Record } from '../logs/record.js';
import { serviceClass } from './colours.js';

/** @typedef {import('./tree.js').Node} Node */

/**
 * @param {{ one: Node | Row, tree: import('./tree.js').Tree, context: Context, onChoose: (one: Node | Row) => void,
 *   onClose: () => void }} props
 */
export function Details({ one, tree, context, onChoose, onClose }) {
  const [menu, setMenu] = useState(/** @type {import('../../parts/menu.js').Clicked | null} */ (null));
  const onValue = (/** @type {MouseEvent} */ event, /** @type {string} */ field, /** @type {string} */ value) =>
    setMenu(clicked(event, field, value));
  const filter = (/** @type {string} */ field, /** @type {string} */ value, /** @type {boolean} */ not) =>
    go('logs', { q: (not ? '-' : '') + condition(field, value) });
  const row = 'row' in one ? one.row : one;
  return html`<aside class="details" aria-label="Details">
    <div class="details-head"><h2><bdi>${'row' in one ? line(row.body, 400) || '(no name)' : 'Log record'}</bdi></h2>
      <button class="icon" aria-label="Close the details (Esc)" onClick=${onClose}>×</button></div>
    ${'row' in one ? html`<${Span} node=${one} tree=${tree} onChoose=${onChoose} onValue=${onValue} />`
    : html`<${Record} row=${row} context=${context} onValue=${onValue} />`}
    ${menu && html`<${ValueMenu} at=${menu} onFilter=${filter} onClose=${() => setMenu(null)} />`}</aside>`;
}

/** @param {{ node: Node, tree: import('./tree.js').Tree, onChoose: (one: Node | Row) => void, onValue: any }} props */
function Span({ node, tree, onChoose, onValue }) {
  const { row } = node;
  const inside = node.children.reduce(
    (all, child) => all + Math.max(Math.min(child.end, node.end) - Math.max(child.start, node.start), 0),
    0,
  );
  const minute = 60_000_000_000n;
  const own = Math.max(node.end - node.start - inside, 0);
  const offset = (/** @type {Written | undefined} */ time) => `+${duration(Number(nanos(time) - tree.began))}`;
  return html`
    <p class="facts"><span class=${`tag ${serviceClass(row.service)}`}>${line(row.service, 60)}</span>
      <span>${kind(row.kind)}</span><span title=${exact(nanos(row.time))}>${clock(nanos(row.time))}</span></p>
    <dl class="figures"><dt>took</dt><dd><b>${duration(node.end - node.start)}</b></dd><dt>itself</dt><dd>
    ${duration(own)}</dd>
      <dt>began at</dt><dd>${duration(node.start)}</dd><dt>share</dt><dd>
      ${((100 * (node.end - node.start)) / tree.length).toFixed(1)} %</dd></dl>
    ${node.failed && html`<p class="failure"><b>Failed</b>${row.status?.message ? html`: <bdi>
    ${visible(row.status.message)}</bdi>` : ''}</p>`}
    ${node.critical && html`<p class="muted">On the critical path: the trace ended when this did,
    or waited for it.</p>`}
    <p class="record-tools"><a class="button small" href=${address('logs', {
      q: `span:${row.span_id}`,
      range: null,
      from: String(nanos(row.time) - minute),
      to: String(nanos(row.end || row.time) + minute),
    })}>Logs of it</a>
      <button class="small" onClick=${() => copy(row.span_id)}>Copy id</button><button class="small"
      onClick=${() => copy(JSON.stringify(row, null, 2))}>Copy JSON</button></p>
    ${
      node.logs.length > 0 &&
      html`<section class="group"><h3>Logs</h3>${node.logs.slice(0, 200).map(
        (log) => html`
      <button class="near" onClick=${() => onChoose(log)}><span class="time">${offset(log.time)}</span><span
      class=${`severity ${log.severity}`}>${log.severity}</span><span class="body"><bdi>${line(log.body)}</bdi></span>
      </button>`,
      )}</section>`
    }
    ${
      (row.events?.length ?? 0) > 0 &&
      html`<section class="group"><h3>Events</h3>${row.events?.slice(0, 200).map(
        (event) => html`
      <details class="event"><summary><span class="time">${offset(event.timeUnixNano)}</span><b>
      ${line(event.name ?? '', 200)}</b></summary>
        <dl>${(event.attributes ?? []).map((pair) => html`<dt>${line(pair.key ?? '', 120)}</dt><dd
        class="event-value"><bdi>${visible(shown(Object.values(pair.value ?? {})[0]).slice(0, 20_000))}</bdi></dd>`)}
        </dl></details>`,
      )}</section>`
    }
    <${Group} name="Attributes" values=${row.attributes} onValue=${onValue} />
    <${Group} name="Resource" values=${row.resource} onValue=${onValue} />
    <${Group} name="Ids" values=${{ trace: row.trace_id, span: row.span_id, parent: row.parent_span_id,
    scope: row.scope }} onValue=${onValue} />`;
}

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];
/** @param {number | string | undefined} written */
const kind = (written) =>
  typeof written === 'number'
    ? (KINDS[written] ?? '')
    : String(written ?? '')
        .replace('SPAN_KIND_', '')
        .toLowerCase();
