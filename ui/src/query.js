// The expressions of the query box: docs/commands.md#query. What is wrong with one, the server says.

/** Names that every record has. */
export const OWN_FIELDS = ['service', 'severity', 'trace', 'span'];
export const SEVERITIES = /** @type {Severity[]} */ (['none', 'trace', 'debug', 'info', 'warn', 'error', 'fatal']);

/** Whether an attribute of this name can be asked for. @param {string} name */
export const isName = (name) => /^[\p{L}_@][\p{L}\p{N}_.\-/@]*$/u.test(name);

/** A value as it is written in an expression. @param {string} value */
export function quoted(value) {
  return value && /^[\p{L}\p{N}_./@][^\s"\\]*$/u.test(value) ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`;
}

/** @param {string} field @param {string} value */
export const condition = (field, value) => `${field}:${quoted(value)}`;

/**
 * An expression with one condition more; the same, or its contrary, is taken out before.
 * @param {string} query @param {string} condition @param {boolean} not
 */
export function withCondition(query, condition, not) {
  const kept = conditions(query).filter((one) => one !== condition && one !== `-${condition}`);
  return [...kept, not ? `-${condition}` : condition].join(' ');
}

/** The conditions of an expression, as they are written. @param {string} query @returns {string[]} */
export function conditions(query) {
  return query.match(/(?:"(?:\\.|[^"\\])*"?|[^\s"])+/g) ?? [];
}

/** The id of a trace if that is all the text is: 32 digits, a traceparent, or a line with one. @param {string} text */
export function traceId(text) {
  const match =
    /^\s*(?:trace:|traceparent:\s*)?"?(?:[0-9a-f]{2}-)?([0-9a-f]{32})(?:-[0-9a-f]{16}-[0-9a-f]{2})?"?\s*$/i.exec(
      text,
    );
  return match && !/^0+$/.test(match[1]) ? match[1].toLowerCase() : null;
}

/** @typedef {{ from: number, to: number, field: string | null, typed: string, not: string }} Spot */

/**
 * What is being written where the caret stands: a name, or a value of `field`.
 * @param {string} text @param {number} caret @returns {Spot}
 */
export function spot(text, caret) {
  const before = text.slice(0, caret);
  const start = before.length - (/(?:"(?:\\.|[^"\\])*"?|[^\s"])*$/.exec(before)?.[0].length ?? 0);
  const to = caret + (/^[^\s]*/.exec(text.slice(caret))?.[0].length ?? 0);
  const [, not, word] = /^(-?)(.*)$/s.exec(text.slice(start, caret)) ?? ['', '', ''];
  const match = /^([\p{L}_@][\p{L}\p{N}_.\-/@]*)(:|>=|<=|>|<)(.*)$/su.exec(word);
  if (!match) return { from: start + not.length, to, field: null, typed: word, not };
  const from = start + not.length + match[1].length + match[2].length;
  return { from, to, field: match[1], typed: match[3].replace(/^"|"$/g, ''), not };
}
