// What is sent along with a question. A field that is left empty is not sent: the server's default holds.
import {apiKey, setApiKey} from "./api.js";
import {h} from "./dom.js";

const kStored = "tenth.settings";
const kNumbers = [
  {
    name: "temperature",
    label: "Temperature",
    min: 0,
    max: 2,
    step: 0.05,
    empty: "1",
    help: "0 always takes the likeliest token"
  },
  {
    name: "top_p",
    label: "Top p",
    min: 0,
    max: 1,
    step: 0.01,
    empty: "1",
    help: "Only the likeliest tokens that add up to this share"
  },
  {
    name: "top_k",
    label: "Top k",
    min: 0,
    max: 100000,
    step: 1,
    empty: "off",
    help: "Only so many of the likeliest tokens"
  },
  {
    name: "min_p",
    label: "Min p",
    min: 0,
    max: 1,
    step: 0.01,
    empty: "0",
    help: "Only tokens with this share of the likeliest one's probability"
  },
  {
    name: "max_tokens",
    label: "Most tokens",
    min: 1,
    max: 10000000,
    step: 1,
    empty: "what fits",
    help: "Where an answer is cut, thought included"
  },
  {
    name: "seed",
    label: "Seed",
    min: 0,
    max: 2 ** 53 - 1,
    step: 1,
    empty: "random",
    help: "The same seed gives the same answer"
  },
];

let values = {};
try {
  values = JSON.parse(localStorage.getItem(kStored)) ?? {};
} catch {
  values = {};
}
const keepValue = (name, value) => {
  if (value === "" || value === false)
    delete values[name];
  else
    values[name] = value;
  localStorage.setItem(kStored, JSON.stringify(values));
};

export const systemPrompt = () => values.system ?? "";
export const wantsTokens = () => values.tokens === true;

// The fields of a request.
export function samplingFields() {
  const fields = {};
  for (const {name} of kNumbers)
    if (Number.isFinite(values[name])) fields[name] = values[name];
  if (values.thinking) fields.thinking = {type: values.thinking};
  if (wantsTokens()) Object.assign(fields, {logprobs: true, top_logprobs: 5});
  return fields;
}

function numberField({name, label, min, max, step, empty, help}) {
  const id = `setting-${name}`;
  const input =
    h("input",
      {id, type: "number", min, max, step, placeholder: empty, value: values[name], "aria-describedby": `${id}-help`});
  input.oninput = () => {
    input.setCustomValidity("");
    if (input.checkValidity()) keepValue(name, input.value === "" ? "" : Number(input.value));
  };
  return h("div", {class: "field"}, h("label", { for: id
           }, label), input, h("p", {class: "help", id: `${id}-help`}, help));
}

function thinkingField() {
  const select = h("select", {id: "setting-thinking", onchange: () => keepValue("thinking", select.value)}, [
    ["", "default"], ["enabled", "on"], ["disabled", "off"]
  ].map(([value, text]) => h("option", {value, selected: value === (values.thinking ?? "")}, text)));
  return h("div", {class: "field"}, h("label", { for: "setting-thinking"
           }, "Thinking"), select);
}

function systemField() {
  const area = h("textarea", {id: "setting-system", rows: 4, placeholder: "None"}, systemPrompt());
  area.oninput = () => keepValue("system", area.value);
  return h("div", {class: "field wide"}, h("label", { for: "setting-system"
           }, "System prompt"), area);
}

function tokensField() {
  const box = h("input", {id: "setting-tokens", type: "checkbox", checked: wantsTokens()});
  box.onchange = () => keepValue("tokens", box.checked);
  return h("div", {class: "field wide check"}, box, h("label", { for: "setting-tokens"
           }, "Ask for the probability of each token"));
}

function keyField(onKey) {
  const input = h("input", {
    id: "setting-key",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "None",
    value: apiKey()
  });
  input.onchange = () => (setApiKey(input.value.trim()), onKey());
  return h("div", {class: "field wide"}, h("label", { for: "setting-key"
           }, "API key"), input, h("p", {class: "help"}, "Kept until this tab is closed"));
}

// Fills the panel. onKey: called when the key changes.
export function showSettings(panel, onKey) {
  const reset = h("button", {type: "button", class: "plain-button"}, "Back to the defaults");
  reset.onclick = () => {
    values = {};
    localStorage.removeItem(kStored);
    showSettings(panel, onKey);
  };
  panel.replaceChildren(
    h("form", {onsubmit: (event) => event.preventDefault()}, h("h2", {}, "Settings"), systemField(), thinkingField(),
      kNumbers.map(numberField), tokensField(), keyField(onKey), reset));
}
