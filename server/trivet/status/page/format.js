// Numbers as people read them; a dash where there is none.

/** Stands where there is no number. */
export const NONE = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Three digits or so; all of them from 100 on. */
export function number(value) {
  if (value === null || value === undefined) return NONE;
  const digits = value >= 100 || value === 0 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A whole number. */
export function whole(value) {
  return value === null || value === undefined ? NONE : Math.round(value).toLocaleString("en");
}

/** Milliseconds, as seconds where that is shorter. */
export function time(ms) {
  if (ms === null || ms === undefined) return NONE;
  return ms >= 1000 ? `${number(ms / 1000)} s` : `${number(ms)} ms`;
}

/** A percentage. */
export function percent(value) {
  return value === null || value === undefined ? NONE : `${number(value)} %`;
}

/** Bytes. */
export function bytes(value) {
  if (!value) return NONE;
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(value) / 10));
  return `${number(value / 2 ** (10 * power))} ${UNITS[power]}`;
}

/** How long ago, roughly. */
export function ago(ms, nowMs = Date.now()) {
  const seconds = Math.max(0, Math.round((nowMs - ms) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}
