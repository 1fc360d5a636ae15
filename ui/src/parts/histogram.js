// Bars of counts by time and severity; drag or click zooms. What the pipeline lost is a red mark above its minute.
import { html, useEffect, useRef, useState } from '../html.js';
import uPlot from '../../vendor/uplot.js';
import { SEVERITIES } from '../query.js';
import { clock, fromMillis, nanos } from '../time.js';
import { count } from '../text.js';
import { colour } from '../theme.js';

const HEIGHT = 92;

/**
 * @param {{ answer: HistogramAnswer, losses: Loss[] | null, onZoom: (start: bigint, end: bigint) => void }} props
 */
export default function Histogram({ answer, losses, onZoom }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const [under, setUnder] = useState(/** @type {number | null} */ (null));
  useEffect(() => {
    const into = place.current;
    if (!into) return;
    let plot = draw();
    function draw() {
      const options = settings(
        answer,
        losses,
        /** @type {HTMLElement} */ (into),
        (start, end) => zoom.current(start, end),
        setUnder,
      );
      return new uPlot(options, stacked(answer), /** @type {HTMLElement} */ (into));
    }
    const sized = new ResizeObserver(() => plot.setSize({ width: Math.max(into.clientWidth, 40), height: HEIGHT }));
    sized.observe(into);
    const themed = () => (plot.destroy(), (plot = draw()));
    addEventListener('theme', themed);
    return () => {
      removeEventListener('theme', themed);
      sized.disconnect();
      plot.destroy();
    };
  }, [answer, losses]);
  const start = nanos(answer.start);
  const width = nanos(answer.width);
  const bucket = under === null ? null : answer.buckets[under];
  const parts = bucket ? SEVERITIES.filter((name) => bucket[name]).reverse() : [];
  return html`<div class="histogram">
    <div class="plot" ref=${place} role="img" aria-label=${`Histogram: ${count(answer.total)} records`}></div>
    <div class="under" aria-hidden="true">${
      bucket &&
      under !== null &&
      html`
      <b>${clock(start + width * BigInt(under), { digits: 0 })}</b>
      ${parts.map((name) => html`<span><i class=${`dot ${name}`}></i>${name} ${count(bucket[name] ?? 0)}</span>`)}`
    }</div></div>`;
}

/** Seconds, and for each severity the sum of it and all below it, the tallest first. @param {HistogramAnswer} answer */
function stacked({ start, width, buckets }) {
  const [first, step] = [Number(nanos(start)) / 1e9, Number(nanos(width)) / 1e9];
  const times = buckets.map((_, at) => first + at * step);
  const series = SEVERITIES.map((_, above) =>
    buckets.map((bucket) => SEVERITIES.slice(above).reduce((all, name) => all + (bucket[name] ?? 0), 0) || null),
  );
  return [times, ...series];
}

/**
 * @param {HistogramAnswer} answer @param {Loss[] | null} losses @param {HTMLElement} into
 * @param {(start: bigint, end: bigint) => void} onZoom @param {(bucket: number | null) => void} onUnder
 */
function settings(answer, losses, into, onZoom, onUnder) {
  const [first, step] = [Number(nanos(answer.start)) / 1e9, Number(nanos(answer.width)) / 1e9];
  const last = first + step * answer.buckets.length;
  const seconds = (/** @type {number} */ value) => fromMillis(value * 1000);
  const bars = /** @type {any} */ (uPlot.paths).bars({ size: [0.88, 60], align: 1 });
  const axis = {
    stroke: colour('muted'),
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  let dragged = false;
  return {
    width: Math.max(into.clientWidth, 40),
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: [first, last] },
      y: {
        range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [
          0,
          Math.max(most ?? 0, 1) * 1.06,
        ],
      },
    },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    axes: [
      {
        ...axis,
        size: 22,
        space: 90,
        grid: { show: false },
        values: (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => tickText(tick, ticks)),
      },
      {
        ...axis,
        size: 46,
        space: 26,
        values: (/** @type {any} */ _, /** @type {number[]} */ ticks) =>
          ticks.map((tick) => (Number.isInteger(tick) ? compact(tick) : '')),
      },
    ],
    series: [
      {},
      ...SEVERITIES.map((name) => ({
        fill: colour(name),
        stroke: colour(name),
        width: 0,
        paths: bars,
        points: { show: false },
      })),
    ],
    hooks: {
      setCursor: [
        (/** @type {uPlot} */ plot) => {
          const left = plot.cursor.left ?? -1;
          const bucket = left < 0 ? -1 : Math.floor((plot.posToVal(left, 'x') - first) / step);
          onUnder(bucket >= 0 && bucket < answer.buckets.length ? bucket : null);
        },
      ],
      setSelect: [
        (/** @type {uPlot} */ plot) => {
          if (plot.select.width < 4) return;
          dragged = true;
          onZoom(
            seconds(plot.posToVal(plot.select.left, 'x')),
            seconds(plot.posToVal(plot.select.left + plot.select.width, 'x')),
          );
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      ready: [
        (/** @type {uPlot} */ plot) =>
          plot.over.addEventListener('click', (/** @type {MouseEvent} */ event) => {
            const bucket = Math.floor((plot.posToVal(event.offsetX, 'x') - first) / step);
            if (!dragged && bucket >= 0 && answer.buckets[bucket])
              onZoom(seconds(first + bucket * step), seconds(first + (bucket + 1) * step));
            dragged = false;
          }),
      ],
      draw: [(/** @type {any} */ plot) => marks(plot, losses, first, last)],
    },
  };
}

/** As short as the distance of the ticks allows. @param {number} tick seconds @param {number[]} ticks */
function tickText(tick, ticks) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  const text = clock(fromMillis(tick * 1000), { digits: step < 1 ? 3 : 0, day: step >= 86_400 });
  return step >= 60 ? text.slice(0, -3) : text;
}

/** @param {number} number */
const compact = (number) =>
  number >= 1e6 ? `${number / 1e6}M` : number >= 1e3 ? `${number / 1e3}k` : String(number);

/** @param {any} plot @param {Loss[] | null} losses @param {number} first @param {number} last seconds */
function marks(plot, losses, first, last) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colour('lost');
  for (const loss of losses ?? []) {
    const [from, to] = [Number(nanos(loss.start)) / 1e9, Number(nanos(loss.end)) / 1e9];
    if (!loss.records || to < first || from > last) continue;
    const left = Math.max(plot.valToPos(from, 'x', true), bbox.left);
    const right = Math.min(plot.valToPos(to, 'x', true), bbox.left + bbox.width);
    ctx.fillRect(left, bbox.top - 6 * devicePixelRatio, Math.max(right - left, 2), 4 * devicePixelRatio);
  }
  ctx.restore();
}
