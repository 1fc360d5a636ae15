// The boxes of the picture.
import { html } from '../../html.js';
import { bytes, count, line, plural, short, sum } from '../../text.js';
import { rate, reasonsOf } from './rates.js';

/**
 * @param {{ states: PipelineState[], of: (state: PipelineState) => number | undefined, total: number,
 *   name: string }} props
 */
function Flowing({ states, of, total, name }) {
  const now = rate(states, of);
  return html`<p class="flowing"><b>${now === null ? '…' : short(now)}</b><span class="muted">/s ${name}</span><span
    class="muted total-of" title=${count(total)}>${short(total)}</span></p>`;
}

/**
 * What was lost, by reason; in red while it goes on.
 * @param {{ name: string, reasons: Reasons, states: PipelineState[],
 *   of: (state: PipelineState) => Reasons | undefined }} props
 */
function Lost({ name, reasons, states, of }) {
  const told = reasonsOf(reasons);
  if (!told.length) return null;
  const now = rate(states, (state) => sum(of(state)));
  return html`<p class="lost ${now ? 'now' : ''}"><b>${name} ${short(sum(reasons))}</b>${now ? html` <span>
    ${short(now)}/s</span>` : ''}
    <span class="why">${told.map(([reason, number]) => `${reason.replaceAll('_', ' ')} ${short(number)}`).join(', ')}
    </span></p>`;
}

/** @param {{ one: ReceiverState, states: PipelineState[] }} props */
export function ReceiverBox({ one, states }) {
  const mine = (/** @type {PipelineState} */ state) =>
    state.receivers.find(
      (other) => other.id === one.id && other.transport === one.transport && other.signal === one.signal,
    );
  return html`<article class=${`box-of ${one.signal}`} data-box-of=${`r:${one.id}:${one.transport}:${one.signal}`}>
    <h3><bdi>${line(one.id, 60)}</bdi> <span class="muted">${one.transport}</span><span class="signal">${one.signal}
    </span></h3>
    <${Flowing} states=${states} of=${(/** @type {PipelineState} */ state) => mine(state)?.accepted}
    total=${one.accepted} name="accepted" />
    <${Lost} name="shed" reasons=${one.shed} states=${states}
    of=${(/** @type {PipelineState} */ state) => mine(state)?.shed} />
    <${Lost} name="refused" reasons=${one.refused} states=${states}
    of=${(/** @type {PipelineState} */ state) => mine(state)?.refused} /></article>`;
}

/** @param {{ one: ProcessorState, states: PipelineState[] }} props */
export function ProcessorBox({ one, states }) {
  const mine = (/** @type {PipelineState} */ state) =>
    state.processors.find(
      (other) => other.id === one.id && other.pipeline === one.pipeline && other.signal === one.signal,
    );
  return html`<article class=${`box-of ${one.signal}`} data-box-of=${`p:${one.pipeline}:${one.id}`}>
    <h3><bdi>${line(one.id, 60)}</bdi><span class="signal">${one.pipeline}</span></h3>
    <${Flowing} states=${states} of=${(/** @type {PipelineState} */ state) => mine(state)?.incoming}
    total=${one.incoming} name="in" />
    <${Flowing} states=${states} of=${(/** @type {PipelineState} */ state) => mine(state)?.outgoing}
    total=${one.outgoing} name="out" />
    <${Lost} name="dropped" reasons=${one.dropped} states=${states}
    of=${(/** @type {PipelineState} */ state) => mine(state)?.dropped} /></article>`;
}

/** @param {{ share: number, text: string, label: string }} props */
const Fill = ({
  share,
  text,
  label,
}) => html`<div class="fill ${share >= 0.9 ? 'full' : share >= 0.6 ? 'high' : ''}" role="meter" aria-label=${label}
  aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(share * 100)}>
  <i style=${{ width: `${Math.min(share, 1) * 100}%` }}></i><span>${text}</span></div>`;

/** @param {NonNullable<ExporterState['spool']>} spool */
function spooled({ bytes: size, limit, records }) {
  return `disk ${bytes(size)}${limit ? ` of ${bytes(limit)}` : ''}, ${short(records)} records`;
}

/** @param {{ one: ExporterState, states: PipelineState[] }} props */
export function ExporterBox({ one, states }) {
  const mine = (/** @type {PipelineState} */ state) =>
    state.exporters.find((other) => other.id === one.id && other.signal === one.signal);
  const lanes = [...one.lanes].sort(
    (a, b) => Number(b.state !== 'passing') - Number(a.state !== 'passing') || b.queue - a.queue,
  );
  return html`<article class=${`box-of ${one.signal} ${one.lanes_halted ? 'has-halted' : ''}`}
    data-box-of=${`e:${one.id}:${one.signal}`}>
    <h3><bdi>${line(one.id, 60)}</bdi><span class="signal">${one.signal}</span></h3>
    <${Flowing} states=${states} of=${(/** @type {PipelineState} */ state) => mine(state)?.sent} total=${one.sent}
    name="sent" />
    ${one.queue_capacity > 0 && html`<${Fill} label="Fill of the queue" share=${one.queue_size / one.queue_capacity}
    text=${`queue ${short(one.queue_size)} of ${short(one.queue_capacity)}, ${bytes(one.bytes)}`} />`}
    ${one.spool && html`<${Fill} label="Fill of the disk"
    share=${one.spool.limit ? one.spool.bytes / one.spool.limit : 0} text=${spooled(one.spool)} />`}
    <${Lost} name="failed" reasons=${one.failed} states=${states}
    of=${(/** @type {PipelineState} */ state) => mine(state)?.failed} />
    <${Lost} name="dropped" reasons=${one.dropped} states=${states}
    of=${(/** @type {PipelineState} */ state) => mine(state)?.dropped} />
    ${
      one.lanes_total > 0 &&
      html`<details class="lanes" open=${one.lanes_halted > 0 || one.lanes_total <= 4}>
      <summary>${plural(one.lanes_total, 'lane')}${one.lanes_halted > 0 && html`, <b class="bad">
      ${count(one.lanes_halted)} halted</b>`}</summary>
      <ul>${lanes.map(
        (lane) => html`<li class=${`lane ${lane.state}`} title=${lane.reason ?? lane.state}>
        <i class="dot-of"></i><span class="name"><bdi>${line(lane.target, 80) || 'default'}</bdi></span>
        <span class="muted">${lane.queue ? `${short(lane.queue)} wait, ${bytes(lane.bytes)}` : ''}</span>
        ${lane.state !== 'passing' && html`<span class="reason"><b>${lane.state}</b>
        ${lane.reason ? `: ${line(lane.reason, 200)}` : ''}
        ${lane.retry_in !== null && lane.retry_in !== undefined ? `, again in ${short(lane.retry_in)} s` : ''}
        </span>`}</li>`,
      )}
        ${one.lanes_total > lanes.length && html`<li class="muted">
        ${count(one.lanes_total - lanes.length)} more that pass</li>`}</ul></details>`
    }</article>`;
}
