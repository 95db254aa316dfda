// The model behind the routes: the queue to the engine's thread, the requests that run, limits and metrics.
#pragma once
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "chat/chat_renderer.h"
#include "engine/engine_thread.h"
#include "serve/generation.h"
#include "serve/http_server.h"
#include "serve/metrics.h"
#include "serve/structured_output.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

struct ServedModel {
  std::string name;  // that clients call it by
  Transformer& model;
  Tokenizer tokenizer;
  std::shared_ptr<const ChatRenderer> chat;  // null: the model has no chat format
  ToolFormat tools = ToolFormat::kNone;
  std::vector<int32_t> stop_ids;
  Thinking thinking;  // the model's marks

  // What a token adds to a text; nothing for the ids with which a vocabulary is padded.
  const std::string& bytes_of(int32_t id) const;
};

struct ServiceLimits {
  int64_t queued = 256;  // requests that wait for a place
  int64_t choices = 8;   // n
  int64_t messages = 4096;
  int64_t stops = 4, stop_bytes = 256;
  int64_t logit_biases = 1024;
  int64_t tools = 128;
  int64_t top_logprobs = 20;
};

class Service {
 public:
  Service(ServedModel model, const EngineOptions& options, const ServiceLimits& limits);
  // Ends what runs. Before its HttpServer goes.
  ~Service();

  const ServedModel& model() const { return model_; }
  const ServiceLimits& limits() const { return limits_; }
  int64_t context() const { return engine_->engine().config().max_position_embeddings; }
  int64_t longest_prompt() const { return std::min(context(), engine_->engine().cache_tokens()) - 1; }
  const EngineThread& engine() const { return *engine_; }
  Metrics& metrics() { return metrics_; }
  GrammarStore& grammars() const { return *grammars_; }
  int64_t created() const { return created_; }  // unix seconds

  // To be called once, before requests come.
  void attach(HttpServer& server);
  bool attached() const { return attached_; }
  // Throws ApiError 503 where no further request is taken: to be asked before any work on one.
  void admit() const;
  // Runs it to its end. From any thread. Throws ApiError 400 for what the engine refuses.
  void start(std::shared_ptr<Generation> generation);
  void drain() { draining_ = true; }
  bool draining() const { return draining_; }
  // Ends all that run with an error. On the network's thread.
  void abort_all(const ApiError& error);
  int64_t open() const { return open_; }                          // requests not ended yet
  int64_t connections() const { return server_->connections(); }  // of clients, once attached

 private:
  struct Running {
    std::shared_ptr<Generation> generation;
    size_t choice;
  };
  void take(std::vector<EngineEvent> events);
  void gone(const std::shared_ptr<Generation>& generation);
  void ended(const Generation& generation, const char* how);

  ServedModel model_;
  ServiceLimits limits_;
  std::unique_ptr<GrammarStore> grammars_;
  Metrics metrics_;
  int64_t created_;
  HttpServer* server_ = nullptr;
  std::atomic<uint64_t> next_id_{1};
  std::atomic<int64_t> open_{0};
  std::atomic<bool> draining_{false}, attached_{false};
  std::unordered_map<uint64_t, Running> running_;  // by the engine's id; of the network's thread
  int64_t max_sequences_;
  std::unique_ptr<EngineThread> engine_;  // last: its thread calls take()
};

}  // namespace tenth
