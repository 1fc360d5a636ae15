// The frame: which view is open, the window of time, the tenant, the token, help.
import { html, useEffect, useMemo, useState } from './html.js';
import { address, change, go, usePlace } from './place.js';
import { get, whenTokenIsAsked } from './api.js';
import { useKeys } from './keys.js';
import { readWindow } from './time.js';
import { traceId } from './query.js';
import { theme, turnTheme } from './theme.js';
import { WindowPicker } from './parts/window.js';
import { Help } from './parts/help.js';
import { TokenPrompt } from './parts/token.js';
import { Broken, Wait } from './parts/notice.js';

/** The views, in the order of the bar; each file is fetched when its view is opened first. */
const VIEWS = [
  { path: 'logs', name: 'Logs', load: () => import('./views/logs.js') },
  { path: 'traces', name: 'Traces', load: () => import('./views/traces.js') },
  { path: 'services', name: 'Services', load: () => import('./views/services.js') },
  { path: 'flow', name: 'Flow', load: () => import('./views/flow.js') },
  { path: 'letters', name: 'Dead letters', load: () => import('./views/letters.js') },
  { path: 'stages', name: 'Stages', load: () => import('./views/stages.js') },
];

export function App() {
  const place = usePlace();
  const { params } = place;
  const [round, setRound] = useState(0);
  const [me, setMe] = useState(/** @type {Me | null} */ (null));
  const [wantsToken, setWantsToken] = useState(false);
  const [hasHelp, setHasHelp] = useState(false);
  const [, setTurn] = useState(0);
  const again = () => setRound((before) => before + 1);

  useEffect(() => {
    const forget = whenTokenIsAsked(() => setWantsToken(true));
    return () => void forget();
  }, []);
  useEffect(() => void get('me').then(setMe, () => {}), [wantsToken]);
  useEffect(() => openPastedTrace(), []);
  useEffect(() => {
    const turned = () => setTurn((before) => before + 1);
    addEventListener('theme', turned);
    return () => removeEventListener('theme', turned);
  }, []);
  const every = Number(params.get('every') ?? 0);
  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => document.hidden || again(), Math.max(every, 2) * 1000);
    return () => clearInterval(timer);
  }, [every]);
  useKeys(
    {
      '?': () => setHasHelp(true),
      r: again,
      t: turnTheme,
      '/': () => /** @type {HTMLElement | null} */ (document.querySelector('[data-box]'))?.focus(),
      ...Object.fromEntries(VIEWS.map((view, at) => [String(at + 1), () => go(view.path)])),
    },
    [],
  );

  const range = ['range', 'from', 'to'].map((name) => params.get(name)).join();
  const seen = useMemo(() => readWindow(params, Date.now()), [range, round, place.path[0]]);
  const tenant = params.get('tenant');
  /** @type {Context} */
  const context = { ...seen, tenant, me, round, params };
  const known = VIEWS.find((view) => view.path === place.path[0]);
  useEffect(() => {
    document.title = `${known?.name ?? 'Nothing here'} · Bywash`;
  }, [known]);

  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the view</a>
    <header class="bar">
      <a class="brand" href=${address('logs')} aria-label="Bywash"><${Mark} /><span>bywash</span></a>
      <nav aria-label="Views">${VIEWS.map(
        (view) => html`
        <a href=${address(view.path)} aria-current=${view === known ? 'page' : null}>${view.name}</a>`,
      )}</nav>
      <div class="bar-end">
        <${WindowPicker} params=${params} start=${seen.start} end=${seen.end} onAgain=${again} />
        ${(me?.tenants?.length ?? 0) > 1 && html`<${TenantPicker} me=${me} tenant=${tenant} />`}
        <button class="icon" title="Light or dark (t)" aria-label="Light or dark" onClick=${turnTheme}>
          ${theme() === 'dark' ? '☀' : '☾'}</button>
        <button class="icon" title="Help (?)" aria-label="Help" onClick=${() => setHasHelp(true)}>?</button>
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${
        known
          ? html`<${View} key=${known.path} view=${known} rest=${place.path.slice(1)} context=${context} />`
          : html`<${Broken} error=${new Error('There is no such view.')} remedy="Choose one above." />`
      }
    </main>
    ${hasHelp && html`<${Help} me=${me} onClose=${() => setHasHelp(false)} />`}
    ${wantsToken && html`<${TokenPrompt} onDone=${() => (setWantsToken(false), again())} />`}`;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById('main')?.focus();
}

const Mark = () => html`<svg viewBox="0 0 32 32" width="20" height="20" aria-hidden="true">
  <path d="M4 11c4-4 8-4 12 0s8 4 12 0M4 20c4-4 8-4 12 0s8 4 12 0" fill="none" stroke="currentColor"
    stroke-width="3" stroke-linecap="round" /></svg>`;

/**
 * A view whose file may still be on its way.
 * @param {{ view: typeof VIEWS[0], rest: string[], context: Context }} props
 */
function View({ view, rest, context }) {
  const [loaded, setLoaded] = useState(/** @type {{ View?: any, error?: Error }} */ ({}));
  useEffect(() => {
    view.load().then(
      (file) => setLoaded({ View: file.View }),
      (error) => setLoaded({ error }),
    );
  }, [view]);
  if (loaded.error) return html`<${Broken} error=${loaded.error} remedy="Load the page again." />`;
  return loaded.View ? html`<${loaded.View} rest=${rest} context=${context} />` : html`<${Wait} />`;
}

/** @param {{ me: Me, tenant: string | null }} props */
function TenantPicker({ me, tenant }) {
  const choose = (/** @type {any} */ event) => change({ tenant: event.target.value });
  return html`<select aria-label="Tenant" title="Tenant" value=${tenant ?? me.tenant} onChange=${choose}>
    ${me.tenants.map((name) => html`<option value=${name} selected=${name === (tenant ?? me.tenant)}>${name}
    </option>`)}</select>`;
}

/** An id of a trace, or a traceparent, that is pasted anywhere opens its trace; texts of the playground stay texts. */
function openPastedTrace() {
  /** @param {ClipboardEvent} event */
  const pasted = (event) => {
    if (event.target instanceof HTMLTextAreaElement) return;
    if (event.target instanceof HTMLInputElement && (event.target.type === 'password' || event.target.value)) return;
    const id = traceId(event.clipboardData?.getData('text') ?? '');
    if (!id) return;
    event.preventDefault();
    go(['traces', id]);
  };
  addEventListener('paste', pasted);
  return () => removeEventListener('paste', pasted);
}
