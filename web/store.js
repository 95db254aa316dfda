// Conversations in the browser's own database; nothing of them is kept by the server.
import {readConversation} from "./tree.js";

const kStore = "conversations";
let database = null;
const all = new Map();

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

// Reads what is there. False: the browser keeps nothing here (a private window); conversations live until it closes.
export async function openStore() {
  try {
    const opening = indexedDB.open("tenth", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(kStore, {keyPath: "id"});
    database = await done(opening);
    for (const entry of await done(database.transaction(kStore).objectStore(kStore).getAll())) {
      const conversation = readConversation(entry);
      if (conversation) all.set(conversation.id, conversation);
    }
    return true;
  } catch {
    database = null;
    return false;
  }
}

// Newest first.
export const conversations = () => [...all.values()].sort((a, b) => b.updated - a.updated);
export const conversation = (id) => all.get(id);

const write = async (change) => {
  if (database) await done(change(database.transaction(kStore, "readwrite").objectStore(kStore))).catch(() => {});
};

export async function keep(conversation) {
  all.set(conversation.id, conversation);
  await write((store) => store.put(conversation));
}

export async function remove(id) {
  all.delete(id);
  await write((store) => store.delete(id));
}

// The form of an exported file: {"tenth": 1, "conversations": [...]}.
export const exported = (list) => JSON.stringify({tenth: 1, conversations: list}, null, 1);

// Adds the conversations of an exported file; how many. One that is here already is replaced by a newer one only.
export async function importFile(text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error("This file is no JSON.");
  }
  if (!Array.isArray(json?.conversations)) throw new Error("This file holds no conversations.");
  const list = json.conversations.map(readConversation);
  if (list.includes(null)) throw new Error("This file's conversations are not whole; nothing was taken from it.");
  let added = 0;
  for (const conversation of list) {
    if ((all.get(conversation.id)?.updated ?? -1) >= conversation.updated) continue;
    await keep(conversation);
    added++;
  }
  return added;
}
