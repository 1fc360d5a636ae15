// What stands where data would: it is awaited, there is none, or something is wrong. Each says what to do.
import { html } from '../html.js';
import { ApiError } from '../api.js';

export const Wait = () => html`<p class="notice wait" role="status">Looking…</p>`;

/** @param {{ error: Error, query?: string | null, remedy?: string }} props */
export function Broken({ error, query, remedy }) {
  const at = error instanceof ApiError && error.at !== null && error.at !== undefined ? error.at : null;
  const told =
    remedy ??
    (error instanceof ApiError ? remedies[error.status] : null) ??
    'Try again with r; what Bywash logs may say more.';
  return html`<div class="notice broken" role="alert">
    <p><b>${error.message}</b></p>
    ${query && at !== null && html`<pre class="where">${`${query}\n${' '.repeat(at)}`}<mark>▲</mark></pre>`}
    <p>${at === null ? told : 'Change the expression at the mark; ? shows what can be written.'}</p></div>`;
}

/** @type {Record<number, string>} */
const remedies = {
  0: 'Look whether it runs, and whether this address is still right. The page goes on by itself.',
  401: 'A token is needed: see the prompt.',
  403: 'This address is not one from which Bywash may be asked.',
  404: 'It may have been removed since: retention, or another tenant.',
  503: 'The process is starting, reloading or stopping. Try again with r.',
};

/** @param {{ title: string, me?: Me | null, children?: any, hasSend?: boolean }} props */
export function Nothing({ title, me, children, hasSend = false }) {
  const where = Object.entries(me?.where ?? {}).filter(([, endpoint]) => endpoint);
  return html`<div class="notice nothing">
    <p><b>${title}</b></p>${children}
    ${
      hasSend &&
      where.length > 0 &&
      html`<div class="send"><p>Send data here:</p>
      <dl>${where.map(([name, endpoint]) => html`<dt>${name.replaceAll('_', ' ')}</dt><dd><code>${endpoint}</code>
      </dd>`)}</dl>
      <p>or try it with <code>bywash load --duration 10s</code>. An SDK is told by ${' '}<code>OTEL_EXPORTER_OTLP_ENDPOINT</code>.</p></div>`
    }</div>`;
}
