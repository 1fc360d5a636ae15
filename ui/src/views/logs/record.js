// One record in full: body, attributes, where it is from, its surroundings.
import { html, useState } from '../../html.js';
import { address } from '../../place.js';
import { exact, nanos } from '../../time.js';
import { bytes, copy, line, shown, visible } from '../../text.js';
import { Around } from './around.js';

/** Characters of a body that are shown before the reader asks for all, and of a value. */
const FIRST = 4000;
const MOST_OF_VALUE = 2000;

/** @param {{ row: Row, context: Context, onValue: (event: MouseEvent, field: string, value: string) => void }} props */
export function Record({ row, context, onValue }) {
  const [hasAll, setHasAll] = useState(false);
  const [hasAround, setHasAround] = useState(false);
  const body = hasAll ? row.body : row.body.slice(0, FIRST);
  const ids = { trace: row.trace_id, span: row.span_id, scope: row.scope };
  const around = html`<button class="small" aria-expanded=${hasAround}
    onClick=${() => setHasAround(!hasAround)}>Surrounding lines</button>`;
  return html`<div class="record">
    <div class="record-tools">
      ${row.trace_id && html`<a class="button small primary"
      href=${address(['traces', row.trace_id], { span: row.span_id })}>Trace</a>`}
      ${row.id && around}
      <button class="small" onClick=${() => copy(row.body)}>Copy body</button>
      <button class="small" onClick=${() => copy(JSON.stringify(row, null, 2))}>Copy JSON</button>
      <span class="muted mono">${exact(nanos(row.time))} · severity ${row.severity_number}</span></div>
    <pre class="record-body"><bdi>${visible(body)}</bdi></pre>
    ${
      row.body.length > FIRST &&
      html`<p><button class="small" onClick=${() => setHasAll(!hasAll)}>${
        hasAll ? 'Less' : `Show all ${bytes(row.body.length)}`
      }</button></p>`
    }
    <div class="groups">
      <${Group} name="Attributes" values=${row.attributes} onValue=${onValue} />
      <${Group} name="Resource" values=${row.resource} onValue=${onValue} />
      <${Group} name="Ids" values=${ids} onValue=${onValue} /></div>
    ${hasAround && html`<${Around} row=${row} context=${context} onValue=${onValue} />`}</div>`;
}

/**
 * @param {{ name: string, values: Attributes, onValue: (event: MouseEvent, field: string,
 *   value: string) => void }} props
 */
export function Group({ name, values, onValue }) {
  const pairs = Object.entries(values).filter(([, value]) => value !== '' && value !== undefined);
  if (!pairs.length) return null;
  return html`<section class="group"><h3>${name}</h3><dl>${pairs.map(([key, value]) => {
    const text = shown(value);
    return html`<dt title=${key}><bdi>${line(key, 120)}</bdi></dt><dd><button class="value"
      onClick=${(/** @type {MouseEvent} */ e) => onValue(e, key, text)}>
      <bdi>${line(text, MOST_OF_VALUE)}</bdi></button></dd>`;
  })}</dl></section>`;
}
