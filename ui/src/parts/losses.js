// What is not in a result because the pipeline could not keep it.
import { html, useMemo, useState } from '../html.js';
import { useAnswer } from '../api.js';
import { address } from '../place.js';
import { clock, nanos } from '../time.js';
import { count, line, plural } from '../text.js';

/** What became of them, and how it is told. @type {Record<What, string>} */
const TOLD = { shed: 'shed', refused: 'refused', parked: 'parked in the dead letters', dropped: 'dropped' };

/**
 * The losses of a signal in a window; null until they are known.
 * @param {Context} context @param {string} signal @returns {Loss[] | null}
 */
export function useLosses({ start, end, round }, signal) {
  /** @type {{ data: Losses | null }} */
  const { data } = useAnswer('losses', { start, end }, round);
  return useMemo(
    () => data && data.losses.filter((loss) => loss.records > 0 && (!loss.signal || loss.signal === signal)),
    [data, signal],
  );
}

/**
 * Only if there are any.
 * @param {{ losses: Loss[] | null, signal: string, services?: string[] }} props services: those that are asked for,
 *   none is all
 */
export function LossBanner({ losses, signal, services = [] }) {
  const [isOpen, setIsOpen] = useState(false);
  const mine = (losses ?? []).filter(
    (loss) => !services.length || loss.service === null || services.includes(loss.service),
  );
  if (!mine.length) return null;
  const groups = grouped(mine);
  const total = mine.reduce((all, loss) => all + loss.records, 0);
  return html`<aside class="losses" role="note" aria-label="Not in this result">
    <span class="losses-mark" aria-hidden="true">▼</span>
    <p><b>${plural(total, signal === 'traces' ? 'span' : 'record')}
    </b> of this window ${total === 1 ? 'is' : 'are'} not below:
      ${groups.slice(0, 3).map((group, at) => html`${at ? '; ' : ' '}<b>${count(group.records)}</b>
      ${group.service === null ? '' : html`${' of '}<b class="name">${line(group.service, 60)}</b>`}
      ${' '}${TOLD[group.what] ?? group.what}`)}
      ${groups.length > 3 && `; ${groups.length - 3} more`}.</p>
    <button class="link" aria-expanded=${isOpen} onClick=${() => setIsOpen(!isOpen)}>
    ${isOpen ? 'less' : 'by whom and why'}</button>
    <a href=${address('flow')}>Flow</a>
    ${mine.some((loss) => loss.what === 'parked') && html`<a href=${address('letters')}>Dead letters</a>`}
    ${
      isOpen &&
      html`<div class="losses-all"><table>
      <thead><tr><th>From</th><th>Until</th><th>Service</th><th>What</th><th>Where</th><th>Reason</th><th
      class="num">Records</th></tr></thead>
      <tbody>${mine.slice(0, 200).map(
        (
          loss,
        ) => html`<tr><td>${clock(nanos(loss.start), { digits: 0 })}</td><td>${clock(nanos(loss.end), { digits: 0 })}
          </td>
        <td class="name">${line(loss.service ?? '—', 60)}</td>
        <td>${loss.what}</td><td>${loss.component}</td><td>${loss.reason}
        </td>
        <td class="num">${count(loss.records)}</td></tr>`,
      )}</tbody></table></div>`
    }
  </aside>`;
}

/** By service and what became of them, the most first. @param {Loss[]} losses */
function grouped(losses) {
  /** @type {Map<string, { service: string | null, what: What, records: number }>} */
  const groups = new Map();
  for (const { service, what, records } of losses) {
    const key = JSON.stringify([service, what]);
    const group = groups.get(key) ?? { service, what, records: 0 };
    group.records += records;
    groups.set(key, group);
  }
  return [...groups.values()].sort((one, other) => other.records - one.records);
}
