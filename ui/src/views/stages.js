// Stages: a playground. Stages and lines in, what each stage did to each line out. Nothing is sent anywhere.
import { html, useRef, useState } from '../html.js';
import { ApiError, post } from '../api.js';
import { load, store } from '../kept.js';
import { exact, nanos } from '../time.js';
import { line, plural, shown, visible } from '../text.js';
import { Broken } from '../parts/notice.js';

const DRAFT = 'bywash.stages';
const FIRST = {
  stages: `- json:
    expressions: {level: , msg: , took: duration_ms}
- labels: {level: }
- drop:
    source: level
    value: debug
- output: {source: msg}
`,
  lines: `{"level":"info","msg":"order placed","duration_ms":41}
{"level":"debug","msg":"cache miss","duration_ms":2}
{"level":"error","msg":"card declined","duration_ms":310}`,
  labels: 'app=shop',
};

/** @param {string} text `a=b, c=d` @returns {Record<string, string>} */
function readLabels(text) {
  return Object.fromEntries(
    text
      .split(/[,\n]/)
      .map((pair) => pair.split('='))
      .filter(([name]) => name.trim())
      .map(([name, ...value]) => [name.trim(), value.join('=').trim()]),
  );
}

export function View() {
  const [draft, setDraft] = useState(() => ({ ...FIRST, ...load(DRAFT, {}) }));
  const [answer, setAnswer] = useState(/** @type {StagesAnswer | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [isRunning, setIsRunning] = useState(false);
  const given = useRef(/** @type {string[]} */ ([]));
  const stages = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const set =
    (/** @type {'stages' | 'lines' | 'labels'} */ name) =>
    (/** @type {any} */ { target }) => {
      const next = { ...draft, [name]: target.value };
      setDraft(next);
      store(DRAFT, next);
    };
  const run = async () => {
    setIsRunning(true);
    given.current = draft.lines.split('\n').filter((/** @type {string} */ one) => one !== '');
    try {
      setAnswer(
        await post('stages/run', { stages: draft.stages, lines: given.current, labels: readLabels(draft.labels) }),
      );
      setError(null);
    } catch (wrong) {
      setError(/** @type {Error} */ (wrong));
      setAnswer(null);
      if (wrong instanceof ApiError && wrong.line) markLine(stages.current, wrong.line);
    }
    setIsRunning(false);
  };
  const pressed = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    run();
  };
  return html`<div class="view stages"><form class="stages-in" onKeyDown=${pressed}
    onSubmit=${(/** @type {Event} */ e) => (e.preventDefault(), run())}>
      <label for="stages-yaml">Stages <span class="muted">YAML, as Promtail's and Alloy's pipeline_stages</span></label>
      <textarea id="stages-yaml" ref=${stages} data-box class="mono" rows="14" spellcheck=${false}
      value=${draft.stages} onInput=${set('stages')}></textarea>
      <label for="stages-lines">Lines <span class="muted">one entry each</span></label>
      <textarea id="stages-lines" class="mono" rows="8" spellcheck=${false} value=${draft.lines}
      onInput=${set('lines')}></textarea>
      <label for="stages-labels">Labels of each entry</label>
      <input id="stages-labels" class="mono" spellcheck=${false} value=${draft.labels} onInput=${set('labels')}
      placeholder="app=shop, env=prod" />
      <p class="buttons"><button type="button" onClick=${() => (setDraft({ ...FIRST }), store(DRAFT, {}),
      setAnswer(null), setError(null))}>Example</button>
        <button class="primary" disabled=${isRunning}>Run <span class="key">Ctrl ⏎</span></button></p></form>
    <section class="stages-out" aria-label="Steps" aria-live="polite">
      ${error && html`<${Broken} error=${error} remedy=${error instanceof ApiError
      && error.line ? `See line ${error.line} of the stages: it is selected.`
        : 'Change the stages, and run them again.'} />`}
      ${!answer && !error && html`<div class="notice nothing"><p><b>Nothing ran yet.</b></p>
      <p>Ctrl ⏎ runs the lines through the stages. Nothing is sent, and nothing waits.</p></div>`}
      ${answer?.entries.map((entry, at) => html`<${Entry} key=${at} entry=${entry}
      given=${given.current[at] ?? ''} />`)}</section></div>`;
}

/** @param {HTMLTextAreaElement | null} area @param {number} number from 1 */
function markLine(area, number) {
  if (!area) return;
  const all = area.value.split('\n');
  const start = all.slice(0, number - 1).join('\n').length + (number > 1 ? 1 : 0);
  area.focus();
  area.setSelectionRange(start, start + (all[number - 1]?.length ?? 0));
}

/** @param {{ entry: StagesAnswer['entries'][0], given: string }} props */
function Entry({ entry, given }) {
  const { result, reason, steps } = entry;
  return html`<article class=${`stage-entry ${result}`}>
    <h3><code><bdi>${line(given, 300)}</bdi></code><span class="result">${result}
    ${reason ? `: ${line(reason, 200)}` : ''}</span></h3>
    <ol>${steps.map(
      (
        step,
      ) => html`<li class=${step.changed.length ? '' : 'same'}><span class="stage-name">${line(step.stage, 80)}</span>
      ${
        step.changed.length
          ? html`<dl>${step.changed.map((name) => html`<dt>${line(name, 60)}</dt><dd><bdi>
            ${visible(valueOf(step, name))}</bdi></dd>`)}</dl>`
          : html`<span class="muted">changed nothing</span>`
      }</li>`,
    )}</ol>
    ${!steps.length && html`<p class="muted">${plural(0, 'stage')}</p>`}</article>`;
}

/**
 * What a name of `changed` has now: a part of the entry, or a name within one.
 * @param {Step} step
 * @param {string} name
 */
function valueOf(step, name) {
  if (name === 'timestamp') return exact(nanos(step.timestamp));
  const part = /** @type {any} */ (step)[name];
  if (part !== undefined) {
    return typeof part === 'object' && part !== null
      ? Object.entries(part)
          .map(([key, value]) => `${key}=${shown(value)}`)
          .join('  ') || '(none)'
      : shown(part);
  }
  const [first, ...rest] = name.split('.');
  const value = /** @type {any} */ (step)[first]?.[rest.join('.')];
  return value === undefined ? '(gone)' : shown(value);
}
