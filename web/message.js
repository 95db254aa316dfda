// One message on the page: a question, or an answer with its thought, figures and buttons.
import {copyText, duration, h, icon, iconButton, notify} from "./dom.js";
import {showMarkdown} from "./markdown.js";
import {probabilityView} from "./probabilities.js";
import {alternatives} from "./tree.js";

const rateText = (rate) => `${rate.toFixed(rate < 100 ? 1 : 0)} tokens/s`;

// actions: {choose(number), edit(number, text), retry(number)}; each message calls them with its number.
export class MessageView {
  constructor(conversation, number, actions) {
    Object.assign(this, {conversation, number, actions, node: conversation.nodes[number]});
    this.user = this.node.role === "user";
    this.body = h("div", {class: this.user ? "text" : "markdown"});
    this.foot = h("div", {class: "foot"});
    this.element = h("article", {class: `message ${this.node.role}`, "aria-label": this.user ? "Question" : "Answer"});
    if (this.user) {
      this.body.textContent = this.node.content;
      this.element.append(this.body, this.foot);
    } else {
      this.thoughtTitle = h("summary");
      this.thoughtText = h("div", {class: "markdown"});
      this.thought =
        h("details", {class: "thought", hidden: true, ontoggle: () => this.drawThought()}, this.thoughtTitle,
          this.thoughtText);
      this.trouble = h("div", {class: "trouble", role: "alert", hidden: true});
      this.element.append(this.thought, this.body, this.trouble, this.foot);
    }
    this.draw(null);
  }

  // generation: what still writes this answer, or null.
  draw(generation) {
    if (!this.user) {
      this.drawThinking(generation);
      if (!this.tokens) showMarkdown(this.body, this.node.content);
      this.body.classList.toggle("writing", Boolean(generation?.running) && !this.thinks(generation));
      this.drawTrouble(generation);
    }
    this.drawFoot(generation);
  }

  thinks(generation) { return Boolean(generation?.running && this.node.reasoning && !generation.answerAt); }

  drawThinking(generation) {
    const {node} = this;
    if (!node.reasoning) return;
    this.thought.hidden = false;
    const thinks = this.thinks(generation);
    const seconds = node.thought ?? generation?.thinking() ?? 0;
    this.thoughtTitle.textContent = `${thinks ? "Thinking" : "Thought for"} ${duration(seconds)}`;
    this.thought.classList.toggle("live", thinks);
    this.drawThought();
  }

  // What is folded away is not drawn.
  drawThought() {
    if (this.thought.open) showMarkdown(this.thoughtText, this.node.reasoning ?? "");
  }

  drawTrouble(generation) {
    const {error} = this.node;
    if (Boolean(error) !== this.trouble.hidden) return;
    this.trouble.hidden = !error;
    const wait = generation?.failure?.retryAfter ?? 0;
    const retry = h("button", {type: "button", onclick: () => this.actions.retry(this.number)}, "Try again");
    const text = wait ? `${error} The server asks to wait ${duration(wait)}.` : error;
    if (error) this.trouble.replaceChildren(h("p", {}, text), retry);
  }

  drawFoot(generation) {
    const running = Boolean(generation?.running);
    // Built anew at the beginning and the end only: buttons keep the focus meanwhile.
    if (this.footFor !== running) {
      this.footFor = running;
      this.figures = h("span", {class: "figures"});
      this.foot.replaceChildren(...this.branches(), ...(running ? [] : this.buttons()), this.figures);
    }
    if (!this.user) this.figures.textContent = this.figuresText(generation);
  }

  figuresText(generation) {
    const {usage, rate, stopped, finish} = this.node, parts = [];
    if (generation?.running) {
      if (!generation.pieces) return "Waiting for the first token";
      parts.push(generation.pieces > 1 ? `about ${generation.pieces} tokens` : "the first token");
      if (generation.rate()) parts.push(rateText(generation.rate()));
      return parts.join(" · ");
    }
    if (stopped) parts.push("stopped");
    if (finish === "length") parts.push("cut at the limit");
    if (usage) {
      const cached = usage.prompt_tokens_details?.cached_tokens;
      parts.push(
        `${usage.completion_tokens} tokens`, `prompt ${usage.prompt_tokens}${cached ? ` (${cached} cached)` : ""}`);
    }
    if (rate) parts.push(rateText(rate));
    return parts.join(" · ");
  }

  branches() {
    const all = alternatives(this.conversation, this.node.parent), at = all.indexOf(this.number);
    if (all.length < 2) return [];
    const go = (to) => () => this.actions.choose(all[to]);
    return [h(
      "span", {class: "branches", role: "group", "aria-label": "Alternatives"},
      iconButton("left", "Previous alternative", go(at - 1), {disabled: at === 0}),
      h("span", {}, `${at + 1}/${all.length}`),
      iconButton("right", "Next alternative", go(at + 1), {disabled: at === all.length - 1}))];
  }

  buttons() {
    if (!this.node.content && this.node.error) return [];
    const copy = iconButton("copy", "Copy", async () => {
      if (!(await copyText(this.node.content))) return;
      copy.replaceChildren(icon("done"));
      setTimeout(() => copy.replaceChildren(icon("copy")), 1500);
    });
    if (this.user) return [copy, iconButton("edit", "Edit the question", () => this.edit())];
    return [
      copy, iconButton("retry", "Another answer", () => this.actions.retry(this.number)),
      iconButton(
        "chance", "Probabilities of the tokens", (event) => this.toggleTokens(event.currentTarget),
        {"aria-pressed": String(Boolean(this.tokens))})
    ];
  }

  toggleTokens(button) {
    if (!this.node.tokens?.length)
      return notify("This answer came without probabilities: ask for them in the settings, then for another answer.");
    this.tokens = this.tokens ? null : probabilityView(this.node.tokens);
    button.setAttribute("aria-pressed", String(Boolean(this.tokens)));
    this.body.replaceChildren(...(this.tokens ? [this.tokens] : []));
    if (!this.tokens) showMarkdown(this.body, this.node.content);
  }

  edit() {
    const area =
      h("textarea", {rows: Math.min(12, this.node.content.split("\n").length + 1), "aria-label": "The question"},
        this.node.content);
    const close = () => {
      form.replaceWith(this.body);
      this.foot.hidden = false;
      this.foot.querySelector("button[aria-label^=Edit]")?.focus();
    };
    const send = () => area.value.trim() && this.actions.edit(this.number, area.value);
    const form =
      h("form", {class: "edit", onsubmit: (event) => (event.preventDefault(), send())}, area,
        h("div", {}, h("button", {type: "button", class: "plain-button", onclick: close}, "Cancel"),
          h("button", {class: "strong"}, "Ask again")));
    area.onkeydown = (event) => {
      if (event.key === "Escape") event.stopPropagation(), close();
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), send();
    };
    this.body.replaceWith(form);
    this.foot.hidden = true;
    area.focus();
  }
}
