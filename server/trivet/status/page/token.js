// The reader's token: in this tab alone, and sent as a header alone.

const KEY = "trivet-token";
let token = stored();

/** Headers that say who asks; none without a token. */
export function authorization() {
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Use another one from now on; "" for none. */
export function useToken(value) {
  // A header carries printable ASCII; what is pasted with more would fail there without a word.
  token = value.replace(/[^!-~]/g, "");
  try {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is switched off: then it lasts until the page is left.
  }
}

/** Whether there is one. */
export function hasToken() {
  return token !== "";
}

function stored() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}
