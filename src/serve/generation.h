// One HTTP request that generates: its choices while they run, from the engine's tokens to the parts of a reply, which
// a ReplyWriter puts into the form of its API. All of it lives on the network's thread.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/api_error.h"
#include "serve/http_server.h"
#include "serve/reply_parser.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct Usage {
  int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0, reasoning_tokens = 0;
};

enum class Finish { kStop, kLength, kToolCalls };

// How an API writes replies, streamed or whole.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;
  // Before anything is generated; a stream begins here.
  virtual void begin(HttpExchange& exchange) = 0;
  // A choice's prompt was read; prompt: its log-probabilities, where they were asked for.
  virtual void started(HttpExchange&, size_t, const std::vector<TokenReport>&) {}
  // tokens: those since the last part, where log-probabilities were asked for.
  virtual void part(HttpExchange& exchange, size_t choice, const ReplyPart& part,
                    const std::vector<TokenReport>& tokens) = 0;
  // stop: the stop string that ended it, or "". tokens: as above, those that came after the last part.
  virtual void finish(HttpExchange& exchange, size_t choice, Finish finish, const std::string& stop,
                      const std::vector<TokenReport>& tokens) = 0;
  virtual void done(HttpExchange& exchange, const Usage& usage) = 0;
  virtual void fail(HttpExchange& exchange, const ApiError& error) = 0;
  // Something that keeps proxies awake, where nothing is written for long.
  virtual void keep_alive(HttpExchange&) {}
};

class Generation {
 public:
  // requests: one for each choice; ids are set by whoever runs them.
  Generation(const Tokenizer& tokenizer, std::shared_ptr<HttpExchange> exchange, std::unique_ptr<ReplyWriter> writer,
             std::vector<EngineRequest> requests, const ReplyParser::Options& reply, int64_t prompt_tokens);

  void begin();
  // True: this choice needs no further tokens; where the engine did not end it itself, it is to be cancelled.
  bool take(size_t choice, const EngineEvent& event);
  bool done() const { return open_ == 0; }
  void fail(const ApiError& error);
  void keep_alive() { writer_->keep_alive(*exchange_); }
  HttpExchange& exchange() { return *exchange_; }

  std::vector<EngineRequest>& requests() { return requests_; }
  const Usage& usage() const { return usage_; }

  // Of this request, for metrics and the log; monotonic seconds.
  double arrived = 0, first_token = 0, last_token = 0;

 private:
  struct Choice {
    StreamDecoder decoder;
    ReplyParser parser;
    std::vector<TokenReport> tokens;  // not yet given to the writer
    bool ended = false;
  };
  void put(size_t choice, std::vector<ReplyPart> parts);
  void finish(size_t choice, Finish finish);

  std::shared_ptr<HttpExchange> exchange_;
  std::unique_ptr<ReplyWriter> writer_;
  std::vector<EngineRequest> requests_;
  std::vector<Choice> choices_;
  size_t open_;
  const int32_t vocabulary_;
  Usage usage_;
};

}  // namespace tenth
