// The frame around the three views: which one is shown, the theme, the keys, the served model's name.
import {servedModel} from "./api.js";
import {ChatView} from "./chat.js";
import {h, iconButton, notify} from "./dom.js";
import {RunsView} from "./runs.js";
import {ServerView} from "./server.js";

const place = (name) => document.getElementById(name);
const served = {
  model: null,
  failure: null
};  // one of them is set after the server was asked

const views = {
  chat: new ChatView(place("view-chat"), served, findModel),
  runs: new RunsView(place("view-runs")),
  server: new ServerView(place("view-server")),
};
let shown = null;

// "#runs/demo" is the view runs with the rest "demo".
function route() {
  const [name, ...rest] = location.hash.slice(1).split("/");
  const next = Object.hasOwn(views, name) ? name : "chat";
  if (shown && shown !== next) views[shown].hide?.();
  for (const key of Object.keys(views)) place(`view-${key}`).hidden = key !== next;
  for (const link of document.querySelectorAll("nav a"))
    if (link.hash === `#${next}`)
      link.setAttribute("aria-current", "page");
    else
      link.removeAttribute("aria-current");
  shown = next;
  document.title = next === "chat" ? "tenth" : `tenth · ${next}`;
  views[next].show(rest.map(decodeURIComponent));
}

async function findModel() {
  try {
    served.model = await servedModel();
    served.failure = null;
    place("model").textContent = served.model.id;
    place("model").title = `context of ${served.model.max_model_len} tokens`;
  } catch (failure) {
    served.failure = failure;
    served.model = null;
    if (failure.status === 503) setTimeout(findModel, 1000 * Math.max(1, failure.retryAfter));  // it is being loaded
    place("model").textContent = "";
  }
  views.chat.modelFound();
}

function nextTheme() {
  const order = ["", "light", "dark"], now = document.documentElement.dataset.theme;
  const next = order[(order.indexOf(now) + 1) % order.length];
  document.documentElement.dataset.theme = next;
  localStorage.setItem("tenth.theme", next);
  notify(next ? `Theme: ${next}` : "Theme: as the system says");
}

const kKeys = [
  ["Enter", "send the question"],
  ["Shift Enter", "a new line"],
  ["Escape", "stop the answer"],
  ["↑ in an empty field", "edit the last question"],
  ["Alt N", "a new conversation"],
  ["Alt R", "another answer to the last question"],
  ["Alt S", "settings"],
  ["Alt L", "list of conversations"],
  ["Alt 1  2  3", "chat, runs, server"],
  ["Alt K", "this list"],
];

function showKeys() {
  const close = () => dialog.close();
  const dialog =
    h("dialog", {"aria-label": "Keys", onclose: () => dialog.remove()}, h("h2", {}, "Keys"),
      h("dl", {class: "keys"}, kKeys.map(([keys, what]) => [h("dt", {}, keys), h("dd", {}, what)])),
      h("button", {type: "button", class: "strong", onclick: close}, "Close"));
  document.body.append(dialog);
  dialog.showModal();
}

function takeKey(event) {
  const code = event.altKey && !event.ctrlKey && !event.metaKey ? event.code : event.code === "Escape" ? "Escape" : "";
  const actions = {
    Digit1: () => (location.hash = "#chat"),
    Digit2: () => (location.hash = "#runs"),
    Digit3: () => (location.hash = "#server"),
    KeyK: showKeys,
    KeyN: () => ((location.hash = "#chat"), views.chat.startNew()),
    KeyR: () => views.chat.retryLast(),
    KeyS: () => views.chat.toggleSettings(),
    KeyL: () => views.chat.toggleList(),
    Escape: () => views.chat.escape(),
  };
  if (!actions[code] || document.querySelector("dialog[open]")) return;
  if (event.altKey) event.preventDefault();
  actions[code]();
}

place("tools").append(iconButton("keys", "Keys (Alt K)", showKeys), iconButton("theme", "Theme", nextTheme));
place("skip").onclick = (event) => {
  event.preventDefault();
  location.hash = "#chat";
  views.chat.focus();
};
addEventListener("hashchange", route);
addEventListener("keydown", takeKey);
await views.chat.open();
route();
findModel();
