// One answer while it streams: from chunks of the server to the fields of its node (see tree.js).
import {ApiFailure, chatChunks} from "./api.js";
import {samplingFields, systemPrompt, wantsTokens} from "./settings.js";
import {messagesBefore} from "./tree.js";

export class Generation {
  // onChange: called after each chunk and at the end.
  constructor(conversation, number, model, onChange) {
    this.conversation = conversation;
    this.node = conversation.nodes[number];
    this.onChange = onChange;
    this.abort = new AbortController();
    this.began = performance.now();
    this.firstAt = this.lastAt = this.answerAt = 0;
    this.pieces = 0;
    this.running = true;
    const system = systemPrompt().trim() ? [{role: "system", content: systemPrompt()}] : [];
    this.body = {
      model,
      messages: [...system, ...messagesBefore(conversation, number)],
      stream_options: {include_usage: true},
      ...samplingFields(),
    };
    if (wantsTokens()) this.node.tokens = [];
  }

  stop() { this.abort.abort(); }

  // Seconds of thought so far; what is shown while it goes on.
  thinking() {
    if (!this.firstAt || !this.node.reasoning) return 0;
    return ((this.answerAt || performance.now()) - this.firstAt) / 1000;
  }

  // Tokens a second so far, 0: not known. A chunk is a token, or a little more: the end knows better. Chunks that came
  // together say nothing of how fast they were made.
  rate(tokens = this.pieces) {
    const seconds = (this.lastAt - this.firstAt) / 1000;
    return seconds > 0.05 && tokens > 1 ? (tokens - 1) / seconds : 0;
  }

  // Runs to the end, which it reports in the node: it throws nothing.
  async run() {
    const {node} = this;
    try {
      for await (const chunk of chatChunks(this.body, this.abort.signal)) {
        this.take(chunk);
        this.onChange();
      }
    } catch (error) {
      if (error.name === "AbortError")
        node.stopped = true;
      else
        node.error = error instanceof ApiFailure ? error.message : `The page failed: ${error.message}`;
      this.failure = error;
    }
    this.running = false;
    if (this.firstAt) {
      if (node.reasoning) node.thought = this.thinking();
      node.seconds = (performance.now() - this.began) / 1000;
      node.rate = this.rate(node.usage?.completion_tokens);
    }
    this.onChange();
  }

  take(chunk) {
    const {node} = this;
    if (chunk.usage) node.usage = chunk.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    if (choice.finish_reason) node.finish = choice.finish_reason;
    const {content, reasoning_content: reasoning} = choice.delta ?? {};
    if (content || reasoning) {
      this.lastAt = performance.now();
      this.firstAt ||= this.lastAt;
      this.pieces++;
    }
    if (reasoning) node.reasoning = (node.reasoning ?? "") + reasoning;
    if (content) {
      this.answerAt ||= this.lastAt;
      node.content += content;
    }
    for (const token of choice.logprobs?.content ?? [])
      node.tokens?.push(
        [token.token, token.logprob, (token.top_logprobs ?? []).map((top) => [top.token, top.logprob])]);
  }
}
