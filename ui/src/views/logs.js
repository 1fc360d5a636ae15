// Logs: box, histogram, fields, rows; live if wanted.
import { html, useCallback, useEffect, useMemo, useRef, useState } from '../html.js';
import { useAnswer } from '../api.js';
import { change, go } from '../place.js';
import { condition, conditions, isName, SEVERITIES, withCondition } from '../query.js';
import { stepRow, useKeys } from '../keys.js';
import { count, plural } from '../text.js';
import { QueryBox } from '../parts/box.js';
import { Lazy } from '../parts/lazy.js';
import { LossBanner, useLosses } from '../parts/losses.js';
import { clicked, ValueMenu } from '../parts/menu.js';
import { Broken, Nothing, Wait } from '../parts/notice.js';
import { Fields } from './logs/fields.js';
import { usePages } from './logs/pages.js';
import { useTail } from './logs/tail.js';
import { Rows } from './logs/rows.js';
import { Take } from './logs/take.js';

const PAGE = 200;
/** Columns of attributes, at most. */
const MOST_COLUMNS = 12;

/** @param {{ context: Context }} props */
export function View({ context }) {
  const { params, start, end, tenant, round, me } = context;
  const query = params.get('q') ?? '';
  const isLive = params.get('live') === '1';
  const columns = useMemo(() => (params.get('cols') ?? '').split(',').filter(Boolean), [params.get('cols')]);
  const asked = { q: query, start, end, tenant };
  const pages = usePages({ ...asked, limit: PAGE }, round);
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  const tail = useTail(isLive, { q: query, tenant, signal: 'logs' }, list);
  const histogram = useAnswer('histogram', { ...asked, buckets: 80 }, round);
  const losses = useLosses(context, 'logs');
  const [menu, setMenu] = useState(/** @type {import('../parts/menu.js').Clicked | null} */ (null));
  const [hasFields, setHasFields] = useState(false);

  const setQuery = useCallback((/** @type {string} */ q) => change({ q }), []);
  const filter = useCallback(
    (/** @type {string} */ field, /** @type {string} */ value, /** @type {boolean} */ not) =>
      change({
        q: withCondition(
          new URLSearchParams(location.hash.split('?')[1]).get('q') ?? '',
          condition(field, value),
          not,
        ),
      }),
    [],
  );
  const setColumn = useCallback(
    (/** @type {string} */ name) => {
      const now = columns.includes(name)
        ? columns.filter((one) => one !== name)
        : [...columns, name].slice(0, MOST_COLUMNS);
      change({ cols: now.join(',') }, true);
    },
    [columns],
  );
  const zoom = (/** @type {bigint} */ from, /** @type {bigint} */ to) =>
    change({ from: String(from), to: String(to), range: null, live: null });
  const onValue = useCallback(
    (/** @type {MouseEvent} */ event, /** @type {string} */ field, /** @type {string} */ value) =>
      setMenu(clicked(event, field, value)),
    [],
  );
  const setLive = () => change({ live: isLive ? null : '1' }, true);

  useKeys(
    {
      j: () => stepRow(list.current, 1),
      k: () => stepRow(list.current, -1),
      o: () => pages.older(),
      l: setLive,
      ArrowDown: () => stepRow(list.current, 1),
      ArrowUp: () => stepRow(list.current, -1),
    },
    [pages.cursor, isLive, query, round],
  );
  useEffect(() => void list.current?.scrollTo({ top: 0 }), [query]);

  const { counts, total } = pages;
  const rows = isLive ? [...tail.rows, ...pages.rows.filter((row) => !tail.ids.has(row.id))] : pages.rows;
  const services = conditions(query)
    .filter((one) => one.startsWith('service:'))
    .map((one) => one.slice(8).replace(/^"|"$/g, ''));
  return html`<div class="view logs ${hasFields ? 'has-fields' : ''}">
    <${Fields} signal="logs" context=${context} query=${query} columns=${columns} histogram=${histogram.data}
      onFilter=${filter} onColumn=${setColumn} onClose=${() => setHasFields(false)} />
    <div class="logs-main">
      <${QueryBox} query=${query} signal="logs" context=${context} onQuery=${setQuery}
        placeholder="words, service:cart, severity>=warn, http.status_code>=500 …" />
      <${LossBanner} losses=${losses} signal="logs" services=${services} />
      ${
        histogram.data &&
        html`<${Lazy} name="histogram" load=${() => import('../parts/histogram.js')}
        props=${{ answer: histogram.data, losses, onZoom: zoom }} waiting=${html`<div class="histogram"></div>`} />`
      }
      ${!histogram.data && html`<div class="histogram"></div>`}
      <div class="tools">
        <button class="small fields-open" onClick=${() => setHasFields(!hasFields)}
        aria-expanded=${hasFields}>Fields</button>
        <span class="total" role="status">${total !== undefined ? html`<b>${count(total)}
        </b> ${total === 1 ? 'record' : 'records'}` : pages.loading ? 'Looking…' : ''}
          ${pages.rows.length > 0 && !pages.complete && html`<span
          class="warn"> · not everything was looked at in the time there is: narrow the window</span>`}</span>
        <span class="classes">${
          counts &&
          [...SEVERITIES]
            .reverse()
            .filter((name) => counts[name])
            .map(
              (name) => html`
          <button class="class" title="Only, or without"
          onClick=${(/** @type {MouseEvent} */ e) => onValue(e, 'severity', name)}>
            <i class=${`dot ${name}`}></i>${name} <b>${count(counts[name] ?? 0)}</b></button>`,
            )
        }</span>
        <span class="tools-end">
          <button class="small ${isLive ? 'on' : ''}" aria-pressed=${isLive} title="Rows as they come (l)"
          onClick=${setLive}>
            <i class="pulse"></i>Live</button>
          <${Take} asked=${asked} signal="logs" rows=${rows} />
        </span>
      </div>
      ${isLive && html`<${TailBar} tail=${tail} />`}
      <${Body} pages=${pages} rows=${rows} query=${query} me=${me} isLive=${isLive} list=${list} columns=${columns}
        context=${context} onValue=${onValue} onColumn=${setColumn} onTail=${tail.hold} />
    </div>
    ${
      menu &&
      html`<${ValueMenu} at=${menu} onFilter=${filter} onClose=${() => setMenu(null)}
      onColumn=${isName(menu.field) && menu.field !== 'severity' && menu.field !== 'service' ? setColumn : undefined}
      more=${
        menu.field === 'severity'
          ? [{ name: 'This and worse', call: () => setQuery(`${query} severity>=${menu.value}`.trim()) }]
          : menu.field === 'trace'
            ? [{ name: 'Open the trace', call: () => go(['traces', menu.value]) }]
            : []
      } />`
    }
  </div>`;
}

/** What is between the tools and the end of the page. @param {any} props */
function Body({ pages, rows, query, me, isLive, list, columns, context, onValue, onColumn, onTail }) {
  if (pages.error && !rows.length) return html`<${Broken} error=${pages.error} query=${query} />`;
  if (!rows.length && pages.loading) return html`<${Wait} />`;
  if (!rows.length && isLive) return html`<${Nothing} title="Nothing has come yet." me=${me} hasSend=${!query} />`;
  if (!rows.length) {
    return html`<${Nothing} title=${query ? 'No record of this window is like that.'
      : 'There is no record in this window.'} me=${me} hasSend=${!query}>
      <p class="buttons">${query && html`<button onClick=${() => change({ q: null })}>Without the query</button>`}
        <button onClick=${() => change({ range: '24h', from: null, to: null })}>Last 24 h</button></p></${Nothing}>`;
  }
  return html`<${Rows} list=${list} rows=${rows} columns=${columns} context=${context} onValue=${onValue}
    onColumn=${onColumn} onHold=${onTail}>
    ${pages.error && html`<${Broken} error=${pages.error} />`}
    ${
      pages.cursor
        ? html`<button class="older" disabled=${pages.loading} onClick=${pages.older}>
          ${pages.loading ? 'Looking…' : 'Older (o)'}</button>`
        : html`<p class="end muted">That is all of this window.</p>`
    }</${Rows}>`;
}

/** @param {{ tail: import('./logs/tail.js').Tail }} props */
function TailBar({ tail }) {
  const said = tail.error
    ? tail.error.message
    : tail.isPaused
      ? tail.waiting
        ? `Paused: ${plural(tail.waiting, 'new row')} above`
        : 'Paused'
      : 'Live: new rows come on top';
  return html`<div class="tail-bar ${tail.isPaused ? 'paused' : ''}" role="status"><span>${said}${
    tail.missed > 0 &&
    ` · ${plural(tail.missed, 'record')} went by unseen, they came too fast to show; a query finds them`
  }</span>
    <button class="small" onClick=${tail.isPaused ? tail.resume : tail.pause}>${tail.isPaused ? 'Go on' : 'Pause'}
    </button></div>`;
}
