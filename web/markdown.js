// Text of the model as HTML. It is not trusted: HTML in it is shown as text (a few harmless tags apart), what the
// Markdown parser makes of it goes through DOMPurify with a short list of what may stay, images become links, and
// formulas become MathML, which needs no styles and no fonts of its own.
import {copyText, h, icon} from "./dom.js";

const {marked, DOMPurify, katex} = globalThis;  // classic scripts, see index.html

const kLongest = 200000;  // characters of Markdown; a longer text is shown as it is
const kHtml = /^<\/?(?:br|sub|sup|kbd|u|mark|small)\s*\/?>$/i;
const kAllowed = {
  ALLOWED_TAGS: [
    "p",  "br",         "hr",  "h1",   "h2",  "h3",     "h4",  "h5",   "h6",    "ul",    "ol",
    "li", "blockquote", "pre", "code", "em",  "strong", "del", "a",    "table", "thead", "tbody",
    "tr", "th",         "td",  "sub",  "sup", "kbd",    "u",   "mark", "small", "span",  "input"
  ],
  ALLOWED_ATTR: ["href", "title", "start", "align", "data-math", "data-lang", "type", "checked", "disabled"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,  // asked of every attribute but the next ones
  ADD_URI_SAFE_ATTR: ["start", "align", "data-math", "data-lang", "type", "checked", "disabled"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const kMath = {
  USE_PROFILES: {mathMl: true},
  ADD_TAGS: ["semantics", "annotation"],
  ADD_ATTR: ["encoding"],
  FORBID_ATTR: ["style", "class", "href", "xlink:href"],
  ALLOWED_URI_REGEXP: /^[^:]*$/,  // of every attribute; what the call before said would hold on
  RETURN_DOM_FRAGMENT: true,
};

const escaped = (text) => text.replace(/[&<>"]/g, (c) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[c]);

// Lengths are bounded, so that a text full of open brackets costs no more than its length.
const kDisplay = [/^\$\$((?:\\.|[^\\$]){1,4000}?)\$\$/s, /^\\\[(.{1,4000}?)\\\]/s];
const kInline = [/^\$(?!\s)((?:\\.|[^$\\\n]){1,1000}?)(?<!\s)\$(?![\d\w])/, /^\\\((.{1,2000}?)\\\)/s];

const first = (patterns, text) => patterns.map((p) => p.exec(text)).find(Boolean);
const formula = (type, match, display) => match && {type, raw: match[0], tex: match[1].trim(), display};
const placeholder = (token) => `<span data-math="${token.display ? "display" : "inline"}">${escaped(token.tex)}</span>`;

marked.use({
  gfm: true,
  breaks: false,
  mangle: false,
  headerIds: false,
  extensions: [
    {
      name: "formula",
      level: "inline",
      start: (text) => text.match(/\$|\\[([]/)?.index,
      tokenizer: (text) =>
        formula("formula", first(kDisplay, text), true) ?? formula("formula", first(kInline, text), false),
      renderer: placeholder,
    },
    {
      name: "formulaBlock",
      level: "block",
      start: (text) => text.match(/(?:^|\n) {0,3}(?:\$\$|\\\[)/)?.index,
      tokenizer: (text) => {
        const indent = /^ {0,3}(?=\$\$|\\\[)/.exec(text)?.[0];
        if (indent === undefined) return undefined;
        const match = first(kDisplay, text.slice(indent.length));
        const rest = match && /^[ \t]*(?:\n+|$)/.exec(text.slice(indent.length + match[0].length));
        return rest ? {...formula("formulaBlock", match, true), raw: indent + match[0] + rest[0]} : undefined;
      },
      renderer: (token) => `<p>${placeholder(token)}</p>`,
    },
  ],
  tokenizer: {
    // The parser fills up every row to the columns of the first one: a few lines could become millions of cells.
    table: (text) => {
      const lines = text.slice(0, kLongest).split(/\n[ \t]*\n/, 1)[0].split("\n");
      return lines[0].split("|").length * lines.length > 20000 ? undefined : false;
    },
  },
  renderer: {
    html: (text) => (kHtml.test(text.trim()) ? text : escaped(text)),
    image: (href, title, text) => `<a href="${escaped(href ?? "")}">${escaped(text || href || "image")}</a>`,
    code: (text, info) => {
      const language = escaped((info ?? "").match(/^[\w+#.-]{1,20}/)?.[0] ?? "");
      return `<pre data-lang="${language}"><code>${escaped(text)}</code></pre>`;
    },
  },
});

function drawFormula(place) {
  const display = place.dataset.math === "display", tex = place.textContent;
  place.classList.add("formula");
  if (display) place.classList.add("display");
  try {
    const text = katex.renderToString(tex, {
      output: "mathml",
      displayMode: display,
      throwOnError: true,
      trust: false,
      strict: "ignore",
      maxSize: 20,
      maxExpand: 200,
    });
    place.replaceChildren(DOMPurify.sanitize(text, kMath));
  } catch {
    place.replaceChildren(h("code", {}, tex));  // not TeX, or not yet complete
  }
}

function drawCode(block) {
  const button = h("button", {type: "button", class: "quiet", "aria-label": "Copy code"}, icon("copy"));
  button.onclick = async () => {
    if (await copyText(block.textContent)) button.replaceChildren(icon("done"));
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  };
  const head = h("div", {class: "code-head"}, h("span", {}, block.dataset.lang || "text"), button);
  const frame = h("div", {class: "code"}, head);
  block.replaceWith(frame);
  block.tabIndex = 0;  // it scrolls
  frame.append(block);
}

function fragmentOf(tokens) {
  const fragment = DOMPurify.sanitize(marked.parser(tokens), kAllowed);
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const box of fragment.querySelectorAll("input"))
    if (box.type !== "checkbox")
      box.remove();
    else
      box.disabled = true;
  // A model that repeats itself must not stop the page: further formulas of a paragraph stay as they were written.
  [...fragment.querySelectorAll("[data-math]")].slice(0, 300).forEach(drawFormula);
  fragment.querySelectorAll("pre").forEach(drawCode);
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", {class: "table", tabindex: "0"});
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}

// Shows the text in the element. Called again with a longer text, it draws only the blocks that changed: what was read
// and selected stays in place while an answer streams.
export function showMarkdown(element, text) {
  const drawn = [...element.children];
  let count = 0, tokens;
  try {
    tokens = text.length > kLongest ? null : marked.lexer(text);
  } catch {
    tokens = null;  // nested too deep for the parser
  }
  if (!tokens) return element.replaceChildren(h("div", {class: "plain"}, text));
  for (const token of tokens) {
    if (token.type === "space" || token.type === "def") continue;
    const old = drawn[count++];
    if (old?.source === token.raw) continue;
    const block = h("div", {class: "block"});
    block.source = token.raw;
    block.append(fragmentOf([token]));
    if (old)
      old.replaceWith(block);
    else
      element.append(block);
  }
  drawn.slice(count).forEach((block) => block.remove());
}
