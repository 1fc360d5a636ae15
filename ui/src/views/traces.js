// Traces: the list, and one of them if the address says which.
import { html, memo, useRef, useState } from '../html.js';
import { useAnswer } from '../api.js';
import { address, change, go } from '../place.js';
import { clock, duration, exact, nanos, readDuration } from '../time.js';
import { stepRow, useKeys } from '../keys.js';
import { count, line, plural } from '../text.js';
import { traceId } from '../query.js';
import { Lazy } from '../parts/lazy.js';
import { LossBanner, useLosses } from '../parts/losses.js';
import { Broken, Nothing, Wait } from '../parts/notice.js';
import { servicesOf } from './logs/fields.js';
import { useTraces } from './trace/pages.js';
import { Trace } from './trace/trace.js';
import { serviceClass } from './trace/colours.js';

/** @param {{ rest: string[], context: Context }} props */
export function View({ rest, context }) {
  return rest[0]
    ? html`<${Trace} key=${rest[0]} id=${rest[0]} context=${context} />`
    : html`<${List} context=${context} />`;
}

/** @param {{ context: Context }} props */
function List({ context }) {
  const { params, start, end, tenant, round, me } = context;
  const services = (params.get('service') ?? '').split(',').filter(Boolean);
  const [min, max] = ['min', 'max'].map((name) => readDuration(params.get(name) ?? ''));
  const asked = {
    service: services,
    operation: params.get('operation'),
    min_duration: min,
    max_duration: max,
    errors: params.get('errors') === '1',
    start,
    end,
    tenant,
    limit: 100,
  };
  const pages = useTraces(asked, round);
  const q = services.map((name) => `service:${JSON.stringify(name)}`).join(' ');
  const histogram = useAnswer('histogram', { q, signal: 'traces', start, end, tenant, buckets: 80 }, round);
  const all = useAnswer('histogram', { signal: 'traces', start, end, tenant, buckets: 1 }, round);
  const losses = useLosses(context, 'traces');
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useKeys(
    {
      j: () => stepRow(list.current, 1),
      k: () => stepRow(list.current, -1),
      o: pages.older,
      ArrowDown: () => stepRow(list.current, 1),
      ArrowUp: () => stepRow(list.current, -1),
    },
    [pages.cursor, round],
  );
  const zoom = (/** @type {bigint} */ from, /** @type {bigint} */ to) =>
    change({ from: String(from), to: String(to), range: null });
  const isFiltered = services.length > 0 || ['operation', 'min', 'max', 'errors'].some((name) => params.get(name));
  const longest = pages.traces.reduce((most, trace) => Math.max(most, Number(trace.duration_ns)), 1);
  return html`<div class="view traces">
    <${Filters} params=${params} services=${services} known=${servicesOf(all.data)} />
    <${LossBanner} losses=${losses} signal="traces" services=${services} />
    ${
      histogram.data
        ? html`<${Lazy} name="histogram" load=${() => import('../parts/histogram.js')}
      props=${{ answer: histogram.data, losses, onZoom: zoom }} waiting=${html`<div class="histogram"></div>`} />`
        : html`<div class="histogram"></div>`
    }
    <div class="tools"><span class="total" role="status">${
      pages.loading && !pages.traces.length
        ? 'Looking…'
        : html`<b>${count(pages.traces.length)}</b>
      ${pages.cursor ? ' latest traces' : pages.traces.length === 1 ? ' trace' : ' traces'}`
    }
      ${!pages.complete && html`<span class="warn"> · not everything was looked at: narrow the window</span>`}</span>
      </div>
    ${pages.error && html`<${Broken} error=${pages.error} />`}
    ${
      !pages.traces.length &&
      !pages.error &&
      (pages.loading
        ? html`<${Wait} />`
        : html`<${Nothing} title=${isFiltered ? 'No trace of this window is like that.'
          : 'There is no trace in this window.'} me=${me} hasSend=${!isFiltered}>
        <p class="buttons">${isFiltered && html`<a class="button" href=${address('traces')}>Without filters</a>`}
          <button onClick=${() => change({ range: '24h', from: null, to: null })}>Last 24 h</button></p></${Nothing}>`)
    }
    ${
      pages.traces.length > 0 &&
      html`<div class="rows trace-list" ref=${list} role="table" aria-label="Traces">
      <div class="row head" role="row"><span>Start</span><span>Trace</span><span class="num">Spans</span><span
      class="num">Errors</span><span>Duration</span></div>
      ${pages.traces.map((trace) => html`<${TraceLine} key=${trace.trace_id} trace=${trace} longest=${longest}
      search=${params.toString()} />`)}
      ${pages.cursor ? html`<button class="older" disabled=${pages.loading} onClick=${pages.older}>Older (o)</button>`
      : html`<p class="end muted">That is all of this window.</p>`}</div>`
    }
  </div>`;
}

const TraceLine = memo((/** @type {{ trace: TraceSummary, longest: number }} */ { trace, longest }) => {
  const time = nanos(trace.start);
  const others = trace.services.filter((name) => name !== trace.service);
  return html`<a class="row" data-row role="row" href=${address(['traces', trace.trace_id])}>
    <span class="cell time" title=${exact(time)}>${clock(time)}</span>
    <span class="cell what"><span class=${`tag ${serviceClass(trace.service)}`}>${line(trace.service, 60) || '?'}</span>
      <b><bdi>${line(trace.operation, 200) || '(no name)'}</bdi></b>${!trace.has_root && html`<span
      class="muted"> root is missing</span>`}
      <span class="others">${others.slice(0, 6).map((name) => html`<span class=${`tag small ${serviceClass(name)}`}>
      ${line(name, 40)}</span>`)}${others.length > 6 && html`<span class="muted">+${others.length - 6}</span>`}</span>
      </span>
    <span class="cell num">${count(trace.spans)}</span>
    <span class="cell num ${trace.errors ? 'bad' : 'muted'}" aria-label=${plural(trace.errors, 'error')}>
    ${trace.errors || '—'}</span>
    <span class="cell long"><i class=${trace.errors || trace.status === 'error' ? 'failed' : ''}
    style=${{ width: `${Math.max((Number(trace.duration_ns) / longest) * 100, 0.5)}%` }}></i>
      <span>${duration(Number(trace.duration_ns))}</span></span></a>`;
});

/** @param {{ params: URLSearchParams, services: string[], known: Counted[] }} props */
function Filters({ params, services, known }) {
  const [wrong, setWrong] = useState('');
  /** @param {SubmitEvent} event */
  const send = (event) => {
    event.preventDefault();
    const given = new FormData(/** @type {HTMLFormElement} */ (event.currentTarget));
    const of = (/** @type {string} */ name) => String(given.get(name) ?? '').trim();
    const id = traceId(of('operation'));
    if (id) return go(['traces', id]);
    const bad = ['min', 'max'].find((name) => of(name) && readDuration(of(name)) === null);
    setWrong(bad ? `A duration is written as 250ms, 1.5s or 2m, not “${of(bad)}”.` : '');
    if (!bad) change({ operation: of('operation'), min: of('min'), max: of('max') });
  };
  const addService = (/** @type {any} */ { target }) => {
    if (target.value) change({ service: [...services, target.value].join(',') });
    target.value = '';
  };
  return html`<form class="filters" role="search" onSubmit=${send}>
    <select aria-label="Service" onChange=${addService}><option value="">Service…</option>
      ${known.filter(({ text }) => !services.includes(text)).map(({ text }) => html`<option value=${text}>
      ${line(text, 60)}</option>`)}</select>
    ${services.map(
      (name) => html`<button type="button" class=${`tag ${serviceClass(name)}`} title="Take it out"
      onClick=${() => change({ service: services.filter((one) => one !== name).join(',') })}>
      ${line(name, 60)} ×</button>`,
    )}
    <input data-box name="operation" aria-label="Operation, or the id of a trace"
    placeholder="operation, or the id of a trace" value=${params.get('operation') ?? ''} />
    <label>trace took <input name="min" size="7" placeholder="250ms" aria-label="At least"
    value=${params.get('min') ?? ''} /></label>
    <label>to <input name="max" size="7" placeholder="2s" aria-label="At most" value=${params.get('max') ?? ''} />
    </label>
    <label class="check"><input type="checkbox" checked=${params.get('errors') === '1'}
    onChange=${() => change({ errors: params.get('errors') === '1' ? null : '1' })} />errors</label>
    <button class="primary">Find</button>
    ${wrong && html`<p class="wrong" role="alert">${wrong}</p>`}</form>`;
}
