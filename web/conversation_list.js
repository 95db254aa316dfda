// The list of conversations at the left: open, rename, remove, save to a file and read from one.
import {h, iconButton, notify, saveFile} from "./dom.js";
import {conversations, exported, importFile, keep, remove} from "./store.js";
import {titleOf} from "./tree.js";

export class ConversationList {
  // actions: {open(id), add(), removed(id)}
  constructor(actions) {
    this.actions = actions;
    this.items = h("ul");
    this.file = h("input", {
      type: "file",
      accept: "application/json,.json",
      class: "unseen",
      tabindex: "-1",
      "aria-label": "File of conversations",
      onchange: () => this.read()
    });
    this.element =
      h("aside", {class: "list", "aria-label": "Conversations"},
        h("button", {type: "button", class: "new", onclick: actions.add}, "New conversation"),
        h("nav", {"aria-label": "Conversations"}, this.items),
        h("div", {class: "list-foot"},
          h("button", {type: "button", class: "plain-button", onclick: () => this.file.click()}, "Import"),
          h("button", {
            type: "button",
            class: "plain-button",
            onclick: () => saveFile("tenth-conversations.json", exported(conversations()))
          },
            "Export all"),
          this.file));
  }

  // running: those that are being answered, by id.
  draw(current, running = new Map()) {
    this.current = current;
    const focused = document.activeElement?.closest?.("li")?.dataset.id;
    this.items.replaceChildren(...conversations().map((entry) => this.item(entry, running.has(entry.id))));
    if (focused) this.items.querySelector(`li[data-id="${CSS.escape(focused)}"] a`)?.focus();
  }

  item(entry, busy) {
    const {id} = entry, title = titleOf(entry);
    const link =
      h("a", {href: `#chat/${encodeURIComponent(id)}`, "aria-current": id === this.current ? "true" : null, title},
        title);
    link.onclick = (event) => (event.preventDefault(), this.actions.open(id));
    return h(
      "li", {"data-id": id, class: busy ? "busy" : ""}, link,
      iconButton("edit", `Rename ${title}`, () => this.rename(entry, link)),
      iconButton("close", `Remove ${title}`, () => this.remove(entry)));
  }

  rename(entry, link) {
    const input = h("input", {value: titleOf(entry), "aria-label": "Title", maxlength: "200"});
    const end = (take) => {
      input.onblur = null;
      if (take && input.value.trim()) {
        entry.title = input.value.trim();
        keep(entry);
      }
      this.draw(this.current);
    };
    input.onblur = () => end(true);
    input.onkeydown = (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") event.stopPropagation(), end(false);
    };
    link.replaceWith(input);
    input.select();
  }

  async remove(entry) {
    await remove(entry.id);
    this.actions.removed(entry.id);
    this.draw(this.current);
    notify(`“${titleOf(entry)}” was removed.`, "Undo", async () => {
      await keep(entry);
      this.draw(this.current);
    });
  }

  async read() {
    const [file] = this.file.files;
    if (!file) return;
    this.file.value = "";
    try {
      const count = await importFile(await file.text());
      notify(count ? `${count} conversations were read.` : "All of these conversations are here already.");
    } catch (error) {
      notify(error.message);
    }
    this.draw(this.current);
  }
}
