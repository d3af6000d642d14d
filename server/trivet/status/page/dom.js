// Elements made of values. Whatever comes from the server is a text node: there is no way in here
// for markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. attributes: by name; a function is a listener ("click"); null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Replace a text, if it is another: what stays the same is not read out again. */
export function tell(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute, if it is another. */
export function set(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** The element with an id. */
export function byId(id) {
  return document.getElementById(id);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
