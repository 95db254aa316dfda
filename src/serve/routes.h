// The routes' functions. Each reads a request on a handler's thread, answers at once or starts a generation. What it
// throws (ApiError) is answered by the router.
#pragma once
#include <memory>

#include "serve/http_server.h"
#include "serve/service.h"

namespace tenth {

// What a route works with.
struct Call {
  Service& service;
  const ClientRequest& request;
  std::shared_ptr<HttpExchange> exchange;
  double arrived = 0;  // monotonic seconds
  std::string runs;    // the folder of runs that the page shows; "": none
};

void chat_completions(const Call& call);  // POST /v1/chat/completions
void completions(const Call& call);       // POST /v1/completions
void responses(const Call& call);         // POST /v1/responses
void messages(const Call& call);          // POST /v1/messages
void count_tokens(const Call& call);      // POST /v1/messages/count_tokens
void list_models(const Call& call);       // GET /v1/models
void show_model(const Call& call);        // GET /v1/models/{id}
void tokenize(const Call& call);          // POST /tokenize
void detokenize(const Call& call);        // POST /detokenize
void apply_template(const Call& call);    // POST /apply-template
void health(const Call& call);            // GET /health
void show_metrics(const Call& call);      // GET /metrics
void version(const Call& call);           // GET /version

// A request id's random part with a prefix: "chatcmpl-…".
std::string new_id(const char* prefix);
// Starts the generation of a call.
void start(const Call& call, std::unique_ptr<ReplyWriter> writer, std::vector<EngineRequest> requests,
           const ReplyParser::Options& reply, int64_t prompt_tokens);

}  // namespace tenth
