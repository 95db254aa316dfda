// A conversation is a tree: an edited question and a retried answer stand beside the first one, and one of the
// alternatives is chosen at each fork. Pure data, as it is stored and exported:
//   {id, title, created, updated, nodes: [{parent, role, content, …}], chosen: {parent: node}}
// A node's number is its place in nodes; the parent of the first ones is -1. created, updated: milliseconds.
// A node of the assistant may have: reasoning, thought (seconds), finish, usage, seconds, rate (tokens/s), stopped,
// error, tokens ([[text, logprob, [[text, logprob], …]], …]; null: text without figures).

export function newConversation() {
  const now = Date.now();
  return {
    id: crypto.randomUUID?.() ?? `${now}-${Math.random()}`,
    title: "",
    created: now,
    updated: now,
    nodes: [],
    chosen: {}
  };
}

export function addNode(conversation, parent, node) {
  const number = conversation.nodes.push({parent, ...node}) - 1;
  conversation.chosen[parent] = number;
  conversation.updated = Date.now();
  return number;
}

export function alternatives(conversation, parent) {
  const numbers = [];
  conversation.nodes.forEach((node, number) => node.parent === parent && numbers.push(number));
  return numbers;
}

// The numbers of the nodes that are shown, from the first question on.
export function shownPath(conversation) {
  const path = [];
  for (let at = -1;;) {
    const next = conversation.chosen[at] ?? alternatives(conversation, at).at(-1);
    if (next === undefined) return path;
    path.push((at = next));
  }
}

// What the model is told before it writes node `number`.
export function messagesBefore(conversation, number) {
  const messages = [];
  for (let at = conversation.nodes[number].parent; at >= 0; at = conversation.nodes[at].parent) {
    const {role, content, reasoning} = conversation.nodes[at];
    if (role === "assistant" && !content && !reasoning) continue;  // it failed
    messages.push(reasoning ? {role, content, reasoning_content: reasoning} : {role, content});
  }
  return messages.reverse();
}

export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = conversation.nodes.find((node) => node.role === "user")?.content.trim().split("\n")[0] ?? "";
  return first.length > 60 ? first.slice(0, 59) + "…" : first || "New conversation";
}

const isText = (x) => typeof x === "string";
const isNumber = (x) => Number.isFinite(x);

// Reads what an export holds; null where it is none. Only fields that are known go through, each of its type.
export function readConversation(json) {
  if (!json || !isText(json.id) || !Array.isArray(json.nodes) || json.nodes.length > 100000) return null;
  const nodes = [];
  for (const [number, node] of json.nodes.entries()) {
    if (!node || !isText(node.content) || !["user", "assistant"].includes(node.role)) return null;
    if (!Number.isInteger(node.parent) || node.parent < -1 || node.parent >= number) return null;
    nodes.push(readNode(node));
  }
  const chosen = {};
  for (const [parent, number] of Object.entries(json.chosen ?? {}))
    if (nodes[number]?.parent === Number(parent)) chosen[parent] = number;
  const date = (x) => (isNumber(x) ? x : Date.now());
  return {
    id: json.id,
    title: isText(json.title) ? json.title : "",
    created: date(json.created),
    updated: date(json.updated),
    nodes,
    chosen
  };
}

function readNode(node) {
  const y = {parent: node.parent, role: node.role, content: node.content};
  for (const name of ["reasoning", "finish", "error", "model"])
    if (isText(node[name])) y[name] = node[name];
  for (const name of ["thought", "seconds", "rate"])
    if (isNumber(node[name])) y[name] = node[name];
  if (node.stopped === true) y.stopped = true;
  const usage = node.usage;
  if (usage && isNumber(usage.prompt_tokens) && isNumber(usage.completion_tokens)) y.usage = usage;
  const chance = (pair) => Array.isArray(pair) && isText(pair[0]) && isNumber(pair[1]);
  if (Array.isArray(node.tokens))
    y.tokens = node.tokens.filter((t) => chance(t) && Array.isArray(t[2]) && t[2].every(chance));
  return y;
}
