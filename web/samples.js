// Answers that a run gave at its evaluations: one line of samples.jsonl each,
// {stage, step, prompt, completion, expected?, right?}.
import {h} from "./dom.js";

const mark = (right) =>
  (right === undefined ? null : h("span", {class: right ? "right" : "wrong"}, right ? "right" : "wrong"));

const one = ({prompt, completion, expected, right}) =>
  h("li", {}, h("p", {}, h("strong", {}, String(prompt)), expected ? ` (expected: ${expected}) ` : " ", mark(right)),
    h("pre", {tabindex: "0"}, String(completion)));

// A list of evaluations to choose from, newest first, and the answers of the chosen one.
export function showSamples(samples) {
  const groups = new Map();
  for (const sample of samples) {
    const key = `${sample.stage}, step ${sample.step}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(sample);
  }
  const keys = [...groups.keys()].reverse();
  const list = h("ul", {class: "samples"});
  const select = h("select", {onchange: () => draw()}, keys.map((key) => h("option", {value: key}, key)));
  const draw = () => list.replaceChildren(...groups.get(select.value).map(one));
  draw();
  return h(
    "section", {}, h("div", {class: "section-head"}, h("h2", {}, "Samples"), h("label", {}, "of ", select)), list);
}
