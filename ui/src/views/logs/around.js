// The lines before and after a record: what a query for one word does not show.
import { html, useState } from '../../html.js';
import { useAnswer } from '../../api.js';
import { Broken, Wait } from '../../parts/notice.js';
import { line } from '../../text.js';
import { clock, nanos } from '../../time.js';

const STEP = 20;
const MOST = 500;

/** @param {{ row: Row, context: Context, onValue: (event: MouseEvent, field: string, value: string) => void }} props */
export function Around({ row, context, onValue }) {
  const [isOwn, setIsOwn] = useState(true);
  const [reach, setReach] = useState(STEP);
  const asked = {
    id: row.id,
    before: reach,
    after: reach,
    service: isOwn ? row.service : null,
    tenant: context.tenant,
  };
  const { data, error, loading } = useAnswer('logs/around', asked);
  if (error) return html`<${Broken} error=${error} />`;
  if (!data) return html`<${Wait} />`;
  /** @type {Row[]} */
  const rows = [...data.before, data.row, ...data.after];
  return html`<section class="around" aria-label="Surrounding lines">
    <div class="record-tools"><label class="check"><input type="checkbox" checked=${isOwn}
    onChange=${() => setIsOwn(!isOwn)} />
      only ${line(row.service, 60) || 'this service'}</label>
      ${reach < MOST && html`<button class="small" disabled=${loading}
      onClick=${() => setReach(Math.min(reach * 2, MOST))}>More on both sides</button>`}
      <span class="muted">oldest first</span></div>
    ${rows.map(
      (
        one,
      ) => html`<div class="near ${one.id === row.id ? 'marked' : ''}"><span class="time">${clock(nanos(one.time))}
        </span>
      <span class="severity ${one.severity}">${one.severity}</span>
      ${!isOwn && html`<button class="value service"
      onClick=${(/** @type {MouseEvent} */ e) => onValue(e, 'service', one.service)}>${line(one.service, 60)}</button>`}
      <span class="body"><bdi>${line(one.body)}</bdi></span></div>`,
    )}</section>`;
}
