// Services: how many spans, how many failed, how long they took.
import { html, useRef, useState } from '../html.js';
import { useAnswer } from '../api.js';
import { address } from '../place.js';
import { duration } from '../time.js';
import { count, line, short } from '../text.js';
import { condition } from '../query.js';
import { stepRow, useKeys } from '../keys.js';
import { Broken, Nothing, Wait } from '../parts/notice.js';
import { LossBanner, useLosses } from '../parts/losses.js';
import { serviceClass } from './trace/colours.js';

/**
 * @type {{ name: string, of: (service: Service) => number | string, draw: (service: Service, most: number) => any,
 *   unit?: string }[]}
 */
const COLUMNS = [
  {
    name: 'Service',
    of: ({ name }) => name,
    draw: ({ name }) => html`<span class=${`tag ${serviceClass(name)}`}>${line(name, 80) || '(no name)'}</span>`,
  },
  {
    name: 'Rate',
    of: ({ rate }) => rate,
    draw: ({ rate }, most) => html`<${Bar} share=${rate / most} text=${`${short(rate)}/s`} />`,
  },
  {
    name: 'Errors',
    of: share,
    draw: (service) =>
      html`<span class=${service.errors ? 'bad' : 'muted'}>
        ${service.errors ? `${(share(service) * 100).toPrecision(2)} %` : '—'}</span>`,
  },
  .../** @type {('p50' | 'p95' | 'p99')[]} */ (['p50', 'p95', 'p99']).map((name) => ({
    name,
    of: (/** @type {Service} */ service) => Number(service[name]),
    draw: (/** @type {Service} */ service, /** @type {number} */ most) =>
      service.spans
        ? html`<${Bar} share=${Number(service[name]) / most} text=${duration(Number(service[name]))} />`
        : html`<span class="muted">—</span>`,
  })),
  { name: 'Logs', of: ({ logs }) => logs, draw: ({ logs }) => count(logs) },
  {
    name: 'Log errors',
    of: ({ log_errors }) => log_errors,
    draw: ({ log_errors }) =>
      html`<span class=${log_errors ? 'bad' : 'muted'}>${log_errors ? count(log_errors) : '—'}</span>`,
  },
];

/** @param {Service} service */
function share({ errors, spans }) {
  return spans ? errors / spans : 0;
}

/** @param {{ share: number, text: string }} props */
const Bar = ({ share, text }) =>
  html`<span class="in-bar"><i style=${{ width: `${Math.min(share, 1) * 100}%` }}></i><span>${text}</span></span>`;

/** @param {{ context: Context }} props */
export function View({ context }) {
  const { start, end, tenant, round, me } = context;
  const { data, error, loading } = useAnswer('services', { start, end, tenant }, round);
  const losses = useLosses(context, 'traces');
  const [sort, setSort] = useState({ at: 1, up: false });
  const [typed, setTyped] = useState('');
  const list = useRef(/** @type {HTMLElement | null} */ (null));
  useKeys({ j: () => stepRow(list.current, 1), k: () => stepRow(list.current, -1) }, []);
  if (error && !data) return html`<div class="view"><${Broken} error=${error} /></div>`;
  if (!data) return html`<${Wait} />`;
  const column = COLUMNS[sort.at];
  /** @type {Service[]} */
  const services = data.services.filter((/** @type {Service} */ one) =>
    one.name.toLowerCase().includes(typed.toLowerCase()),
  );
  services.sort((one, other) => {
    const [a, b] = [column.of(one), column.of(other)];
    return (a < b ? -1 : a > b ? 1 : 0) * (sort.up ? 1 : -1);
  });
  const most = COLUMNS.map((one) =>
    services.reduce((all, service) => Math.max(all, Number(one.of(service)) || 0), 1e-9),
  );
  return html`<div class="view services">
    <${LossBanner} losses=${losses} signal="traces" />
    <div class="tools"><input data-box type="search" aria-label="Find a service" placeholder="service" value=${typed}
    onInput=${(/** @type {any} */ e) => setTyped(e.target.value)} />
      <span class="total" role="status"><b>${count(services.length)}</b> services${loading ? ' · looking…' : ''}
        ${!data.complete && html`<span class="warn"> · not everything was looked at</span>`}</span></div>
    ${
      !data.services.length
        ? html`<${Nothing} title="No service sent anything in this window." me=${me} hasSend />`
        : html`<div class="scroll" ref=${list}><table class="grid">
      <thead><tr>${COLUMNS.map(
        (
          { name },
          at,
        ) => html`<th class=${at ? 'num' : ''} aria-sort=${at !== sort.at ? null : sort.up ? 'ascending'
          : 'descending'}>
        <button class="link" onClick=${() => setSort({ at, up: at === sort.at ? !sort.up : !at })}>${name}
        ${at === sort.at ? (sort.up ? ' ↑' : ' ↓') : ''}</button></th>`,
      )}<th>Look at</th></tr></thead>
      <tbody>${services.map(
        (service) => html`<tr key=${service.name} data-row tabindex="-1">
        ${COLUMNS.map(({ name, draw }, at) => html`<td class=${at ? 'num' : ''} data-name=${name}>
        ${draw(service, most[at])}</td>`)}
        <td class="links"><a href=${address('logs', { q: condition('service', service.name) })}>logs</a>
          <a href=${address('traces', { service: service.name })}>traces</a>
          ${service.errors > 0 && html`<a class="bad"
          href=${address('traces', { service: service.name, errors: '1' })}>errors</a>`}
          ${service.log_errors > 0 && html`<a class="bad"
          href=${address('logs', { q: `${condition('service', service.name)} severity>=error` })}>log errors</a>`}
            </td></tr>`,
      )}</tbody></table></div>`
    }</div>`;
}
