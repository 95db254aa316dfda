// The thread that owns the model: requests come in by a queue, events go out to a sink, a step's at a time.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <variant>
#include <vector>

#include "engine/engine.h"

namespace tenth {

class EngineThread {
 public:
  // sink is called on the engine's thread and must be quick.
  using Sink = std::function<void(std::vector<EngineEvent>)>;
  EngineThread(Transformer& model, const EngineOptions& options, Sink sink);
  ~EngineThread();  // stops at the end of the step

  // All may be called from any thread. check and submit as Engine's check and add; what was submitted and cancelled
  // before it ran leaves no trace.
  void check(const EngineRequest& request) const { engine_.check(request); }
  void submit(EngineRequest request);
  void cancel(uint64_t id);

  EngineStatistics statistics() const;
  // Seconds since the thread last showed life; while it waits for work, 0.
  double silent_seconds() const;
  const Engine& engine() const { return engine_; }  // its constants, and statistics of its disk

 private:
  void run();

  Engine engine_;
  Sink sink_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::variant<EngineRequest, uint64_t>> inbox_;  // requests, and ids to cancel
  EngineStatistics statistics_;
  double step_began_ = 0;  // 0: waiting
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tenth
