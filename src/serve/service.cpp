#include "serve/service.h"

#include <ctime>

#include "base/clock.h"
#include "base/error.h"

namespace tenth {

const std::string& ServedModel::bytes_of(int32_t id) const {
  static const std::string nothing;
  return id < tokenizer.vocab_size() ? tokenizer.token_bytes(id) : nothing;
}

namespace {

// Special tokens are no text; those that end a turn end what a grammar describes.
std::shared_ptr<const GrammarVocabulary> grammar_vocabulary(const ServedModel& model) {
  std::vector<std::string> bytes;
  for (int32_t id = 0; id < model.tokenizer.vocab_size(); id++)
    bytes.push_back(model.tokenizer.is_special(id) ? "" : model.tokenizer.token_bytes(id));
  // The marks of calls are tokens that may stand nowhere else.
  const std::vector<int32_t> marks = model.tokenizer.added_tokens_in(tool_marks(model.tools).tokens);
  for (int32_t id : marks) bytes[size_t(id)] = model.tokenizer.token_bytes(id);
  return std::make_shared<const GrammarVocabulary>(bytes, model.stop_ids, marks);
}

}  // namespace

Service::Service(ServedModel model, const EngineOptions& options, const ServiceLimits& limits)
    : model_(std::move(model)),
      limits_(limits),
      grammars_(std::make_unique<GrammarStore>(grammar_vocabulary(model_))),
      created_(int64_t(std::time(nullptr))),
      max_sequences_(options.max_sequences),
      engine_(std::make_unique<EngineThread>(model_.model, options, [this](std::vector<EngineEvent> events) {
        // In the order in which they were made: post keeps it.
        server_->post([this, events = std::move(events)]() mutable { take(std::move(events)); });
      })) {}

Service::~Service() = default;

void Service::attach(HttpServer& server) {
  server_ = &server;
  server.every(10000, [this] {
    for (const auto& [id, running] : running_)
      if (running.choice == 0 && monotonic_seconds() - running.generation->last_token > 10)
        running.generation->keep_alive();
  });
  attached_ = true;
}

void Service::admit() const {
  if (draining_) throw ApiError(503, "service_unavailable", "the server is shutting down");
  if (open_ >= max_sequences_ + limits_.queued)
    throw ApiError(503, "overloaded_error",
                   fmt::format("{} requests run or wait already: try again later", open_.load()));
}

void Service::start(std::shared_ptr<Generation> generation) {
  for (EngineRequest& request : generation->requests()) {
    request.id = next_id_++;
    try {
      engine_->check(request);
    } catch (const Error& e) {
      throw ApiError(400, "invalid_request_error", e.what());
    }
  }
  open_++;
  server_->post([this, generation = std::move(generation)] {
    std::vector<EngineRequest>& requests = generation->requests();
    for (size_t choice = 0; choice < requests.size(); choice++)
      running_.emplace(requests[choice].id, Running{generation, choice});
    generation->last_token = monotonic_seconds();
    generation->begin();
    generation->exchange().on_gone([this, weak = std::weak_ptr(generation)] {
      if (const auto alive = weak.lock()) gone(alive);
    });
    // A copy goes: the stop ids of this one are looked at later.
    for (const EngineRequest& request : requests)
      if (running_.count(request.id)) engine_->submit(request);
  });
}

void Service::gone(const std::shared_ptr<Generation>& generation) {
  if (generation->done()) return;
  bool any = false;
  for (const EngineRequest& request : generation->requests()) {
    if (!running_.erase(request.id)) continue;
    engine_->cancel(request.id);
    any = true;
  }
  if (any) ended(*generation, "abort");
}

void Service::abort_all(const ApiError& error) {
  while (!running_.empty()) {
    const std::shared_ptr<Generation> generation = running_.begin()->second.generation;
    for (const EngineRequest& request : generation->requests()) {
      if (running_.erase(request.id)) engine_->cancel(request.id);
    }
    generation->fail(error);
    ended(*generation, "abort");
  }
}

void Service::ended(const Generation& generation, const char* how) {
  open_--;
  const double end = monotonic_seconds();
  metrics_.ended(how, end - generation.arrived, generation.first_token > 0 ? end - generation.first_token : 0,
                 generation.usage().prompt_tokens, generation.usage().completion_tokens);
}

void Service::take(std::vector<EngineEvent> events) {
  const double time = monotonic_seconds();
  for (const EngineEvent& event : events) {
    const auto it = running_.find(event.request);
    if (it == running_.end()) continue;  // cancelled meanwhile
    const Running running = it->second;
    Generation& generation = *running.generation;
    if (event.kind == EngineEvent::Kind::kToken) {
      if (generation.first_token == 0) {
        generation.first_token = time;
        metrics_.first_token(time - generation.arrived);
      } else {
        metrics_.between_tokens(time - generation.last_token);
      }
      generation.last_token = time;
    }
    try {
      if (!generation.take(running.choice, event)) continue;
    } catch (const std::exception& error) {
      generation.fail(ApiError(500, "server_error", error.what()));
    }
    running_.erase(event.request);
    if (event.kind == EngineEvent::Kind::kToken) engine_->cancel(event.request);  // by a stop string
    if (!generation.done()) continue;
    // One choice's failure ends the others.
    for (const EngineRequest& other : generation.requests())
      if (running_.erase(other.id)) engine_->cancel(other.id);
    ended(generation, event.kind == EngineEvent::Kind::kFailed   ? "error"
                      : event.kind == EngineEvent::Kind::kLength ? "length"
                                                                 : "stop");
  }
}

}  // namespace tenth
