// The whole trace in sixty pixels; what is dragged over is what the waterfall shows.
import { html, useEffect, useRef } from '../../html.js';
import { colour } from '../../theme.js';
import { serviceClass } from './colours.js';
import { useDrag } from './drag.js';

const HEIGHT = 56;

/**
 * @param {{ tree: import('./tree.js').Tree, zoom: import('./drag.js').Stretch,
 *   onZoom: (zoom: import('./drag.js').Stretch) => void }} props
 */
export function Minimap({ tree, zoom, onZoom }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const { drag, handlers } = useDrag({ from: 0, to: tree.length }, onZoom);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const again = () => draw(element, tree);
    const sized = new ResizeObserver(again);
    sized.observe(element);
    addEventListener('theme', again);
    return () => {
      sized.disconnect();
      removeEventListener('theme', again);
    };
  }, [tree]);
  const [from, to] = [zoom.from / tree.length, zoom.to / tree.length];
  const percent = (/** @type {number} */ part) => `${part * 100}%`;
  return html`<div class="minimap" ...${handlers} onDblClick=${() => onZoom({ from: 0, to: tree.length })}
    title="Drag to zoom, double click for the whole">
    <canvas ref=${canvas} height=${HEIGHT} aria-hidden="true"></canvas>
    <div class="shade" style=${{ left: 0, width: percent(from) }}></div>
    <div class="shade" style=${{ left: percent(to), right: 0 }}></div>
    ${drag && html`<div class="dragged" style=${{ left: percent(drag.from), width: percent(drag.to - drag.from) }}>
    </div>`}</div>`;
}

/** @param {HTMLCanvasElement} canvas @param {import('./tree.js').Tree} tree */
function draw(canvas, tree) {
  const ratio = devicePixelRatio || 1;
  const width = Math.max(canvas.clientWidth, 1);
  canvas.width = width * ratio;
  canvas.height = HEIGHT * ratio;
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(ratio, ratio);
  const step = Math.min(5, (HEIGHT - 6) / Math.max(tree.nodes.length, 1));
  /** @type {Map<string, string>} */
  const colours = new Map(tree.services.map((service) => [service, colour(serviceClass(service))]));
  const failed = colour('error');
  tree.nodes.forEach((node, at) => {
    context.fillStyle = node.failed ? failed : (colours.get(node.row.service) ?? '');
    context.globalAlpha = node.failed || node.critical ? 1 : 0.6;
    context.fillRect(
      (node.start / tree.length) * width,
      3 + at * step,
      Math.max(((node.end - node.start) / tree.length) * width, 1),
      Math.max(step * 0.75, 0.8),
    );
  });
}
