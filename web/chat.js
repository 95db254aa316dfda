// The chat: the list of conversations, the messages of one, the field for a question, the settings.
import {ConversationList} from "./conversation_list.js";
import {h, iconButton, notify, saveFile} from "./dom.js";
import {Generation} from "./generation.js";
import {MessageView} from "./message.js";
import {showSettings} from "./settings.js";
import {conversation, exported, keep, openStore} from "./store.js";
import {addNode, newConversation, shownPath, titleOf} from "./tree.js";

const narrow = matchMedia("(max-width: 60rem)");

export class ChatView {
  // served: {model, failure} of the server; findModel: asks it again.
  constructor(root, served, findModel) {
    Object.assign(this, {root, served, findModel});
    this.running = new Map();  // conversation id -> Generation
    this.current = newConversation();
    this.list = new ConversationList({
      open: (id) => this.openConversation(id),
      add: () => this.startNew(),
      removed: (id) => this.removed(id),
    });
    this.settings = h("aside", {class: "settings", "aria-label": "Settings", hidden: true});
    this.log = h("div", {class: "log"});
    this.scroller = h("div", {class: "scroller", tabindex: "-1"}, this.log);
    this.title = h("h1", {class: "title"});
    this.build();
  }

  build() {
    this.input = h("textarea", {
      id: "question",
      rows: 1,
      placeholder: "Ask something",
      "aria-label": "Your question",
      oninput: () => this.grow(),
      onkeydown: (event) => this.key(event)
    });
    this.send = iconButton("send", "Send", () => this.sendOrStop(), {class: "quiet send"});
    const composer =
      h("form", {class: "composer", onsubmit: (event) => (event.preventDefault(), this.sendOrStop())}, this.input,
        this.send);
    const head =
      h("div", {class: "chat-head"},
        (this.listButton =
           iconButton("list", "Conversations (Alt L)", () => this.toggleList(), {"aria-expanded": "true"})),
        this.title,
        iconButton(
          "save", "Save this conversation to a file",
          () => saveFile(`${titleOf(this.current).slice(0, 40)}.json`, exported([this.current]))),
        iconButton("plus", "New conversation (Alt N)", () => this.startNew()),
        (this.settingsButton =
           iconButton("tune", "Settings (Alt S)", () => this.toggleSettings(), {"aria-expanded": "false"})));
    this.root.append(this.list.element, h("div", {class: "talk"}, head, this.scroller, composer), this.settings);
    // Reading further up is not disturbed by what streams at the end.
    this.follows = true;
    this.scroller.onscroll = () => {
      this.follows = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 40;
    };
    showSettings(this.settings, this.findModel);
    this.toggleList(!narrow.matches);
  }

  async open() {
    if (!(await openStore())) notify("This browser keeps nothing here: conversations last until the tab is closed.");
    this.list.draw(this.current.id);
  }

  show([id]) {
    const wanted = id && conversation(id);
    if (wanted && wanted !== this.current) this.current = wanted;
    this.draw();
    this.focus();
  }

  focus() {
    if (!narrow.matches) this.input.focus();
  }

  modelFound() { this.draw(); }

  // ---- conversations

  startNew() {
    this.current = newConversation();
    history.replaceState(null, "", "#chat");
    if (narrow.matches) this.toggleList(false);
    this.draw();
    this.input.focus();
  }

  openConversation(id) {
    if (narrow.matches) this.toggleList(false);
    location.hash = `#chat/${encodeURIComponent(id)}`;
  }

  removed(id) {
    this.running.get(id)?.stop();
    if (this.current.id === id) this.startNew();
  }

  toggleList(open = this.list.element.hidden) {
    this.list.element.hidden = !open;
    this.listButton.setAttribute("aria-expanded", String(open));
    if (open && narrow.matches) this.toggleSettings(false);
  }

  toggleSettings(open = this.settings.hidden) {
    this.settings.hidden = !open;
    this.settingsButton.setAttribute("aria-expanded", String(open));
    if (!open) return this.focus();
    if (narrow.matches) this.toggleList(false);
    this.settings.querySelector("textarea").focus();
  }

  // ---- drawing

  draw() {
    const numbers = shownPath(this.current), actions = {
      choose: (number) => this.choose(number),
      edit: (number, text) => this.ask(text, this.current.nodes[number].parent),
      retry: (number) => this.retry(number),
    };
    this.views = new Map(numbers.map((number) => [number, new MessageView(this.current, number, actions)]));
    this.log.replaceChildren(
      ...(numbers.length ? [...this.views.values()].map((view) => view.element) : [this.welcome()]));
    this.title.textContent = numbers.length ? titleOf(this.current) : "";
    this.list.draw(this.current.id, this.running);
    this.drawRunning();
    this.toEnd();
  }

  drawRunning() {
    const generation = this.running.get(this.current.id);
    if (generation) this.views.get(generation.number)?.draw(generation);
    const busy = Boolean(generation);
    if (this.send.classList.contains("busy") !== busy) {
      const fresh = iconButton(
        busy ? "stop" : "send", busy ? "Stop (Escape)" : "Send", () => this.sendOrStop(),
        {class: busy ? "quiet send busy" : "quiet send"});
      this.send.replaceWith(fresh);
      this.send = fresh;
    }
  }

  welcome() {
    const {model, failure} = this.served;
    if (failure?.status === 503)
      return h(
        "div", {class: "welcome"}, h("h2", {}, "The model is loading"),
        h("p", {}, "This page goes on by itself when it is ready."));
    if (failure)
      return h(
        "div", {class: "welcome"}, h("h2", {}, "The model cannot be asked now"),
        h("p", {class: "trouble"}, failure.message),
        failure.status === 401 ?
          h("button", {type: "button", class: "strong", onclick: () => this.askKey()}, "Enter the API key") :
          h("button", {type: "button", class: "strong", onclick: () => this.findModel()}, "Try again"));
    return h(
      "div", {class: "welcome"}, h("h2", {}, model ? `Talk to ${model.id}` : "…"),
      h("p", {}, "Conversations stay in this browser. ", h("kbd", {}, "Alt K"), " shows the keys."));
  }

  askKey() {
    this.toggleSettings(true);
    this.settings.querySelector("#setting-key").focus();
  }

  toEnd() {
    this.follows = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, innerHeight * 0.4)}px`;
  }

  // ---- asking

  key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      if (!this.running.has(this.current.id)) this.sendOrStop();
    } else if (event.key === "ArrowUp" && !this.input.value) {
      const questions = [...this.views.values()].filter((view) => view.user);
      if (!questions.length) return;
      event.preventDefault();
      questions.at(-1).edit();
    }
  }

  sendOrStop() {
    const generation = this.running.get(this.current.id);
    if (generation) return generation.stop();
    const text = this.input.value;
    if (!text.trim()) return this.input.focus();
    this.input.value = "";
    this.grow();
    this.ask(text, shownPath(this.current).at(-1) ?? -1);
  }

  escape() {
    const generation = this.running.get(this.current.id);
    if (generation)
      generation.stop();
    else if (!this.settings.hidden)
      this.toggleSettings(false);
    else if (narrow.matches)
      this.toggleList(false);
  }

  retryLast() {
    const last = shownPath(this.current).at(-1);
    if (last === undefined || this.running.has(this.current.id)) return;
    if (this.current.nodes[last].role === "user")
      this.answer(last);
    else
      this.retry(last);
  }

  // Another answer beside this one; in its place where it failed before there was any.
  retry(number) {
    const {parent, content, reasoning} = this.current.nodes[number];
    this.answer(parent, content || reasoning ? undefined : number);
  }

  choose(number) {
    this.current.chosen[this.current.nodes[number].parent] = number;
    keep(this.current);
    const top = this.scroller.scrollTop;
    this.draw();
    this.scroller.scrollTop = top;
    this.views.get(number).element.querySelector(".branches button:not(:disabled)")?.focus();
  }

  // A question below parent (-1: the first), and its answer.
  ask(text, parent) {
    if (this.running.has(this.current.id)) return notify("An answer is being written: stop it first.");
    if (!conversation(this.current.id)) history.replaceState(null, "", `#chat/${encodeURIComponent(this.current.id)}`);
    this.answer(addNode(this.current, parent, {role: "user", content: text}));
  }

  // place: the number of a node that is written anew.
  async answer(question, place) {
    if (this.running.has(this.current.id)) return notify("An answer is being written: stop it first.");
    const {current} = this, name = this.served.model?.id;
    const blank = {role: "assistant", content: "", model: name};
    if (place !== undefined) current.nodes[place] = {parent: question, ...blank};
    const number = place ?? addNode(current, question, blank);
    const generation = new Generation(current, number, name, () => this.changed(current));
    generation.number = number;
    this.running.set(current.id, generation);
    keep(current);
    this.draw();
    this.speak("The answer is being written");
    const clock = setInterval(() => this.changed(current), 100);  // the timer of the thought
    await generation.run();
    clearInterval(clock);
    this.running.delete(current.id);
    current.updated = Date.now();
    await keep(current);
    this.list.draw(this.current.id, this.running);
    if (current !== this.current) return;
    this.views.get(number)?.draw(generation);
    this.drawRunning();
    if (this.follows) this.toEnd();
    const {error, stopped} = current.nodes[number];
    this.speak(error ? "The answer failed" : stopped ? "The answer was stopped" : "The answer is complete");
    if (generation.failure?.status === 401) this.askKey();
    if (generation.failure?.status === 0 || generation.failure?.status === 404) this.findModel();
  }

  // At most once a frame, and no more than a third of the time: long answers take longer to draw.
  changed(current) {
    if (current !== this.current || this.frame || performance.now() < this.restUntil) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      const began = performance.now();
      this.drawRunning();
      if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
      this.restUntil = performance.now() + 2 * (performance.now() - began);
    });
  }

  speak(text) { document.getElementById("spoken").textContent = text; }
}
