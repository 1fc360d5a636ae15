// The sidebar: services of the window, and every attribute that is stored, with its values and their counts.
import { html, useState } from '../../html.js';
import { useAnswer } from '../../api.js';
import { isName } from '../../query.js';
import { line, short } from '../../text.js';

const FIRST = 40;
const FIRST_VALUES = 12;

/**
 * @param {{ signal: string, context: Context, query: string, columns: string[], histogram: HistogramAnswer | null,
 *   onClose: () => void,
 *   onFilter: (field: string, value: string, not: boolean) => void, onColumn: (name: string) => void }} props
 */
export function Fields({ signal, context, query, columns, histogram, onFilter, onColumn, onClose }) {
  const { start, end, tenant, round } = context;
  const [typed, setTyped] = useState('');
  const [hasAll, setHasAll] = useState(false);
  const { data, error } = useAnswer('fields', { signal, start, end, tenant }, round);
  /** @type {Counted[]} */
  const fields = (data?.fields ?? []).filter((/** @type {Counted} */ field) =>
    field.text.toLowerCase().includes(typed.toLowerCase()),
  );
  const shown = hasAll ? fields : fields.slice(0, FIRST);
  const services = servicesOf(histogram);
  return html`<aside class="fields" aria-label="Fields">
    <div class="fields-head"><input type="search" placeholder="Fields" aria-label="Find a field" value=${typed}
    onInput=${(/** @type {any} */ e) => setTyped(e.target.value)} />
      <button class="icon fields-close" aria-label="Close the fields" onClick=${onClose}>×</button></div>
    ${services.length > 0 && html`<h3>Services</h3><${Values} field="service" values=${services}
    onFilter=${onFilter} />`}
    <h3>Attributes</h3>
    ${error && html`<p class="muted">${error.message}</p>`}
    ${!error && data && !fields.length && html`<p class="muted">None${typed ? ' with that name' : ''}.</p>`}
    ${shown.map(
      (
        field,
      ) => html`<${Field} key=${field.text} field=${field} asked=${{ signal, start, end, tenant, q: query }}
        isColumn=${columns.includes(field.text)}
      onFilter=${onFilter} onColumn=${onColumn} />`,
    )}
    ${!hasAll && fields.length > FIRST && html`<button class="link" onClick=${() => setHasAll(true)}>
    ${fields.length - FIRST} more</button>`}</aside>`;
}

/** @param {HistogramAnswer | null} histogram @returns {Counted[]} */
export function servicesOf(histogram) {
  const services = histogram?.services ?? {};
  const pairs = Array.isArray(services)
    ? services.map((one) => (Array.isArray(one) ? one : [one.name ?? one.text, one.records]))
    : Object.entries(services);
  return pairs.map(([text, records]) => ({ text, records })).sort((one, other) => other.records - one.records);
}

/**
 * @param {{ field: Counted, asked: import('../../api.js').Asked, isColumn: boolean, onFilter: any,
 *   onColumn: (name: string) => void }} props
 */
function Field({ field, asked, isColumn, onFilter, onColumn }) {
  const [isOpen, setIsOpen] = useState(false);
  const { data } = useAnswer(isOpen ? 'fields' : null, { ...asked, field: field.text });
  return html`<div class="field ${isOpen ? 'open' : ''}">
    <div class="field-line"><button class="field-name" aria-expanded=${isOpen} onClick=${() => setIsOpen(!isOpen)}>
      <bdi>${line(field.text, 100)}</bdi><span class="muted">${short(field.records)}</span></button>
      <button class="icon ${isColumn ? 'on' : ''}" aria-pressed=${isColumn} title="As a column"
      aria-label=${`Column ${field.text}`} onClick=${() => onColumn(field.text)}>▥</button></div>
    ${isOpen && (data ? html`<${Values} field=${field.text} values=${data.values} onFilter=${onFilter} />` : html`<p
    class="muted">Looking…</p>`)}</div>`;
}

/**
 * @param {{ field: string, values: Counted[], onFilter: (field: string, value: string, not: boolean) => void }} props
 */
function Values({ field, values, onFilter }) {
  const [most, setMost] = useState(FIRST_VALUES);
  const all = Math.max(...values.map((value) => value.records), 1);
  const can = isName(field);
  return html`<ul class="values">${values.slice(0, most).map(
    ({ text, records }) => html`<li>
    <i class="share" style=${{ width: `${(records / all) * 100}%` }}></i>
    <button class="value" disabled=${!can} title=${`Only ${line(text, 200)}`}
    onClick=${() => onFilter(field, text, false)}><bdi>${line(text, 200) || '(empty)'}</bdi></button>
    <span class="muted">${short(records)}</span>
    ${can && html`<button class="icon" title="Without it" aria-label=${`Without ${text}`}
    onClick=${() => onFilter(field, text, true)}>−</button>`}</li>`,
  )}
    ${values.length > most && html`<li><button class="link" onClick=${() => setMost(most + 50)}>
    ${values.length - most} more</button></li>`}</ul>`;
}
