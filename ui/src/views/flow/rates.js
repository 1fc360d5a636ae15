// Rates from counters that grow since the start of the process.
import { nanos } from '../../time.js';

/** States that are kept: as many seconds of the line of the budget. */
export const KEPT = 120;

/** The states that are known, with one more. @param {PipelineState[]} states @param {PipelineState} state */
export function withState(states, state) {
  const last = states.at(-1);
  // A process that was started anew counts from nothing.
  const isNew = last && (nanos(state.time) <= nanos(last.time) || counted(state) < counted(last));
  return [...(isNew ? [] : states), state].slice(-KEPT);
}

/** @param {PipelineState} state */
const counted = (state) =>
  [...state.receivers.map(({ accepted }) => accepted), ...state.exporters.map(({ sent }) => sent)].reduce(
    (all, one) => all + one,
    0,
  );

/** Seconds over which a rate is told. */
const OVER = 5;

/**
 * Records a second of a counter, over the last few seconds; null while there is but one state.
 * @param {PipelineState[]} states @param {(state: PipelineState) => number | undefined} of @returns {number | null}
 */
export function rate(states, of) {
  const last = states.at(-1);
  if (!last || states.length < 2) return null;
  const end = nanos(last.time);
  const first =
    states.find((state) => Number(end - nanos(state.time)) <= (OVER + 0.5) * 1e9) ?? states[states.length - 2];
  const before = first === last ? states[states.length - 2] : first;
  const seconds = Number(end - nanos(before.time)) / 1e9;
  const [to, from] = [of(last), of(before)];
  return to === undefined || seconds <= 0 ? null : Math.max(to - (from ?? 0), 0) / seconds;
}

/** @param {{ id: string, signal: string }} one */
export const keyOf = ({ id, signal }) => `${id}\n${signal}`;

/**
 * @param {Record<string, number> | undefined} reasons
 * @returns {[string, number][]} those that happened, the most first
 */
export const reasonsOf = (reasons) =>
  Object.entries(reasons ?? {})
    .filter(([, number]) => number > 0)
    .sort(([, one], [, other]) => other - one);
