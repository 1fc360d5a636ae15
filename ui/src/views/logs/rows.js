// The table of rows, with columns that the reader chose. A row opens in its place.
import { html, memo, useCallback, useState } from '../../html.js';
import { clock, exact, nanos } from '../../time.js';
import { line, shown } from '../../text.js';
import { isWriting } from '../../keys.js';
import { Record } from './record.js';

/** The value of a column of a row. @param {Row} row @param {string} name @returns {string} */
export function cell(row, name) {
  if (name === 'trace') return row.trace_id;
  if (name === 'span') return row.span_id;
  if (name === 'scope') return row.scope;
  // Names are anybody's: what every object has, such as `constructor`, is none of them.
  const holder = [row.attributes, row.resource].find((values) => Object.hasOwn(values, name));
  return holder ? shown(holder[name]) : '';
}

/**
 * @param {{ list?: any, rows: Row[], columns: string[], context: Context, onColumn?: (name: string) => void,
 *   onHold?: () => void, children?: any,
 *   onValue: (event: MouseEvent, field: string, value: string) => void,
 *   mark?: string }} props mark: the id of a row that stands out
 */
export function Rows({ list, rows, columns, context, onValue, onColumn, onHold, children, mark }) {
  const [open, setOpen] = useState(/** @type {Set<string>} */ (new Set()));
  const toggle = useCallback(
    (/** @type {string} */ id) => {
      setOpen((before) => {
        const next = new Set(before);
        next.delete(id) || next.add(id);
        return next;
      });
      onHold?.();
    },
    [onHold],
  );
  const template = [
    'var(--time)',
    '3.4rem',
    'minmax(5rem, 8.5rem)',
    ...columns.map(() => 'minmax(4rem, 10rem)'),
    'minmax(12rem, 1fr)',
  ].join(' ');
  return html`<div class="rows" ref=${list} role="table" aria-label="Records" aria-rowcount=${rows.length}
    style=${{ '--columns': template }}>
    <div class="row head" role="row">
      <span role="columnheader">Time</span><span role="columnheader">Sev.</span><span role="columnheader">Service</span>
      ${columns.map(
        (name) => html`<span role="columnheader" class="column-head" title=${name}><span>${line(name, 80)}</span>
        ${onColumn && html`<button class="icon" aria-label=${`Without the column ${name}`}
        onClick=${() => onColumn(name)}>×</button>`}</span>`,
      )}
      <span role="columnheader">Body</span></div>
    ${rows.map(
      (
        row,
      ) => html`<${RowLine} key=${row.id} row=${row} columns=${columns} isOpen=${open.has(row.id)}
        isMarked=${mark === row.id}
      onToggle=${toggle} onValue=${onValue} context=${context} />`,
    )}
    ${children}</div>`;
}

const RowLine = memo(
  (
    /** @type {{ row: Row, columns: string[], isOpen: boolean, isMarked: boolean, onToggle: (id: string) => void,
  onValue: (event: MouseEvent, field: string, value: string) => void, context: Context }} */ {
      row,
      columns,
      isOpen,
      isMarked,
      onToggle,
      onValue,
      context,
    },
  ) => {
    const time = nanos(row.time);
    /** @param {KeyboardEvent} event */
    const pressed = (event) => {
      if (event.target !== event.currentTarget || isWriting(event.target)) return;
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      onToggle(row.id);
    };
    const value = (/** @type {string} */ field, /** @type {string} */ text, /** @type {string} */ name = '') => html`
    <span role="cell" class=${`cell ${name}`}>${
      text &&
      html`<button class="value" title=${line(text, 200)}
      onClick=${(/** @type {MouseEvent} */ e) => onValue(e, field, text)}><bdi>${line(text, 200)}</bdi></button>`
    }</span>`;
    return html`<div class="entry ${isOpen ? 'open' : ''} ${isMarked ? 'marked' : ''}">
    <div class="row" data-row role="row" tabindex="0" aria-expanded=${isOpen} onKeyDown=${pressed}
    onClick=${() => hasSelection() || onToggle(row.id)}>
      <span role="cell" class="cell time" title=${exact(time)}>${clock(time)}</span>
      <span role="cell" class="cell"><button class="value severity ${row.severity}"
      onClick=${(/** @type {MouseEvent} */ e) => onValue(e, 'severity', row.severity)}>${row.severity}</button></span>
      ${value('service', row.service, 'service')}
      ${columns.map((name) => value(name, cell(row, name)))}
      <span role="cell" class="cell body"><bdi>${line(row.body) || '—'}</bdi></span></div>
    ${isOpen && html`<${Record} row=${row} context=${context} onValue=${onValue} />`}</div>`;
  },
);

/** Whoever marks text to copy it does not want a row to open. */
const hasSelection = () => (getSelection()?.toString().length ?? 0) > 0;
