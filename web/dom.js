// Elements without a library. Text that is given to h() is always text, never HTML.

// h("button", {class: "quiet", onclick: f, "aria-label": "Stop"}, "Stop", icon): attributes whose value is false, null
// or undefined are left out; those that are functions become listeners; true is an empty attribute.
export function h(name, attributes, ...children) { return fill(document.createElement(name), attributes, children); }

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function")
      element.addEventListener(key.slice(2), value);
    else if (value === true)
      element.setAttribute(key, "");
    else if (value !== false && value != null)
      element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}

// Icons of 24 x 24, drawn with strokes.
const kIcons = {
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  retry: "M19 12a7 7 0 1 1-2-5M19 4v4h-4",
  chance: "M5 20V10M12 20V4M19 20v-7",
  left: "M14 6l-6 6 6 6",
  right: "M10 6l6 6-6 6",
  plus: "M12 5v14M5 12h14",
  list: "M4 7h16M4 12h16M4 17h16",
  tune: "M4 8h9M19 8h1M4 16h1M11 16h9M16 5.5v5M8 13.5v5",
  theme: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  close: "M6 6l12 12M18 6L6 18",
  save: "M12 4v11M7 10l5 5 5-5M5 20h14",
  open: "M12 16V5M7 10l5-5 5 5M5 20h14",
  keys: "M3 7h18v11H3zM7 11h0M12 11h0M17 11h0M8 15h8",
  done: "M5 12l5 5 9-10",
};
export function icon(name) {
  return svg("svg", {class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true"}, svg("path", {d: kIcons[name]}));
}

// A button that shows an icon only; its label is what a screen reader says and what a pointer sees.
export function iconButton(name, label, onclick, more = {}) {
  return h("button", {type: "button", class: "quiet", title: label, "aria-label": label, onclick, ...more}, icon(name));
}

// A line at the bottom that goes away by itself; action: what its button does.
export function notify(text, label, action) {
  const place = document.getElementById("notice");
  const close = () => note.remove();
  const note = h("div", {class: "note"}, text);
  if (action) note.append(h("button", {type: "button", onclick: () => (action(), close())}, label));
  place.replaceChildren(note);
  setTimeout(close, 8000);
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    notify("The browser does not allow copying here.");
    return false;
  }
}

// Gives the user a file.
export function saveFile(name, text, type = "application/json") {
  const url = URL.createObjectURL(new Blob([text], {type}));
  h("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// A number in a table or on an axis.
export function shortNumber(x) {
  if (!Number.isFinite(x)) return "–";
  const size = Math.abs(x);
  if (size >= 1e9) return trim(x / 1e9, 3) + "G";
  if (size >= 1e6) return trim(x / 1e6, 3) + "M";
  if (size >= 1e4) return trim(x / 1e3, 3) + "k";
  if (size >= 1000 || Number.isInteger(x)) return String(Math.round(x));
  if (size > 0 && size < 1e-3) return x.toExponential(1);
  return trim(x, 3);
}
const trim = (x, digits) => String(Number(x.toPrecision(digits)));

export function duration(seconds) {
  if (seconds > 0 && seconds < 0.1) return "under 0.1 s";
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds), pad = (n) => String(n).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}:${pad(whole % 60)} min`;
  return `${Math.floor(whole / 3600)}:${pad(Math.floor((whole % 3600) / 60))} h`;
}
