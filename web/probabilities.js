// The tokens of an answer, each on a ground that shows how likely it was, and what else could have stood there.
import {h} from "./dom.js";

const percent = (logprob) => {
  const share = 100 * Math.exp(logprob);
  return share >= 99.95 ? "100 %" : share >= 0.1 ? `${share.toFixed(1)} %` : `${share.toPrecision(1)} %`;
};
// Spaces and line breaks are to be seen.
const visible = (text) => text.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥") || "∅";
// 0: certain … 4: below 5 %.
const step = (logprob) => [0.9, 0.5, 0.2, 0.05].filter((share) => Math.exp(logprob) < share).length;

function card([text, logprob, top]) {
  const rows = top.some(([other]) => other === text) ? top : [[text, logprob], ...top];
  return h("table", {}, h("tbody", {}, rows.map(([other, share]) => {
             const bar = h("span", {class: "bar"});
             bar.style.width = `${Math.max(1, 100 * Math.exp(share))}%`;
             return h(
               "tr", {class: other === text ? "taken" : ""}, h("td", {}, h("code", {}, visible(other))),
               h("td", {}, h("span", {class: "track"}, bar)), h("td", {class: "number"}, percent(share)));
           })));
}

// An element with all tokens: a pointer or the arrow keys go from one to the next.
export function probabilityView(tokens) {
  const popup = h("div", {class: "chances", role: "tooltip", id: "chances", hidden: true});
  const spans = tokens.map(
    (token, i) =>
      h("span", {
        class: `token p${step(token[1])}`,
        tabindex: i ? "-1" : "0",
        "aria-label": `${visible(token[0])}, ${percent(token[1])}`,
        role: "listitem"
      },
        token[0]));
  const show = (span) => {
    const index = spans.indexOf(span);
    if (index < 0) return;
    popup.replaceChildren(card(tokens[index]));
    popup.hidden = false;
    const place = span.getClientRects()[0], frame = view.getBoundingClientRect();
    popup.style.left = `${Math.max(0, Math.min(place.left - frame.left, frame.width - popup.offsetWidth))}px`;
    popup.style.top = `${place.bottom - frame.top + 4}px`;
  };
  const move = (event) => {
    const steps = {ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity}[event.key];
    const at = spans.indexOf(event.target);
    if (event.key === "Escape") popup.hidden = true;
    if (!steps || at < 0) return;
    event.preventDefault();
    const next = spans[Math.max(0, Math.min(spans.length - 1, at + steps))];
    spans[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  };
  const view =
    h("div", {
      class: "tokens",
      onpointerover: (e) => show(e.target),
      onfocusin: (e) => show(e.target),
      onpointerleave: () => (popup.hidden = true),
      onfocusout: () => (popup.hidden = true),
      onkeydown: move
    },
      h("div", {role: "list", "aria-label": "Tokens and their probabilities"}, spans), popup);
  return view;
}
