#include "serve/generation.h"

#include <algorithm>

namespace tenth {

Generation::Generation(const Tokenizer& tokenizer, std::shared_ptr<HttpExchange> exchange,
                       std::unique_ptr<ReplyWriter> writer, std::vector<EngineRequest> requests,
                       const ReplyParser::Options& reply, int64_t prompt_tokens)
    : exchange_(std::move(exchange)),
      writer_(std::move(writer)),
      requests_(std::move(requests)),
      choices_(requests_.size(), Choice{StreamDecoder(tokenizer, false), ReplyParser(reply), {}}),
      open_(requests_.size()),
      vocabulary_(tokenizer.vocab_size()) {
  usage_.prompt_tokens = prompt_tokens;
}

void Generation::begin() { writer_->begin(*exchange_); }

bool Generation::take(size_t number, const EngineEvent& event) {
  using Kind = EngineEvent::Kind;
  Choice& choice = choices_[number];
  const EngineRequest& request = requests_[number];
  if (choice.ended) return true;
  switch (event.kind) {
    case Kind::kStarted:
      usage_.cached_tokens += event.cached_tokens;
      writer_->started(*exchange_, number, event.prompt);
      return false;
    case Kind::kToken: {
      usage_.completion_tokens++;
      const int32_t id = event.token.id;
      if (std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end()) return false;
      if (choice.parser.in_reasoning()) usage_.reasoning_tokens++;
      if (request.top_logprobs >= 0) choice.tokens.push_back(event.token);
      // A model's vocabulary may be padded with ids that are no tokens.
      if (id < vocabulary_) put(number, choice.parser.push(choice.decoder.push(id)));
      if (!choice.parser.stopped()) return false;
      finish(number, Finish::kStop);
      return true;
    }
    case Kind::kStopped:
    case Kind::kLength:
      put(number, choice.parser.push(choice.decoder.finish()));
      put(number, choice.parser.finish());
      finish(number, event.kind == Kind::kStopped ? Finish::kStop : Finish::kLength);
      return true;
    case Kind::kFailed: fail(ApiError(500, "server_error", event.error)); return true;
  }
  return true;
}

void Generation::put(size_t number, std::vector<ReplyPart> parts) {
  Choice& choice = choices_[number];
  for (size_t i = 0; i < parts.size(); i++) {
    // The tokens go with the last of the parts that they made.
    const bool last = i + 1 == parts.size();
    writer_->part(*exchange_, number, parts[i], last ? choice.tokens : std::vector<TokenReport>());
    if (last) choice.tokens.clear();
  }
}

void Generation::finish(size_t number, Finish finish) {
  Choice& choice = choices_[number];
  if (finish == Finish::kStop && choice.parser.calls() > 0) finish = Finish::kToolCalls;
  writer_->finish(*exchange_, number, finish, choice.parser.stop(), choice.tokens);
  choice.ended = true;
  if (--open_ == 0) writer_->done(*exchange_, usage_);
}

void Generation::fail(const ApiError& error) {
  if (open_ == 0) return;
  open_ = 0;
  for (Choice& choice : choices_) choice.ended = true;
  writer_->fail(*exchange_, error);
}

}  // namespace tenth
