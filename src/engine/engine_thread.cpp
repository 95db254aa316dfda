#include "engine/engine_thread.h"

#include <utility>

#include "base/clock.h"

namespace tenth {
EngineThread::EngineThread(Transformer& model, const EngineOptions& options, Sink sink)
    : engine_(model, options), sink_(std::move(sink)), statistics_(engine_.statistics()), thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void EngineThread::submit(EngineRequest request) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(std::move(request));
  }
  wake_.notify_one();
}

void EngineThread::cancel(uint64_t id) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.emplace_back(id);
  }
  wake_.notify_one();
}

EngineStatistics EngineThread::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

double EngineThread::silent_seconds() const {
  const std::lock_guard lock(mutex_);
  return step_began_ == 0 ? 0 : monotonic_seconds() - step_began_;
}

void EngineThread::run() {
  std::vector<std::variant<EngineRequest, uint64_t>> orders;
  std::vector<EngineEvent> events;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      statistics_ = engine_.statistics();
      step_began_ = 0;
      wake_.wait(lock, [&] { return stopping_ || !inbox_.empty() || !engine_.idle(); });
      if (stopping_) return;
      orders.swap(inbox_);
      step_began_ = monotonic_seconds();
    }
    for (auto& order : orders) {
      if (auto* request = std::get_if<EngineRequest>(&order))
        engine_.add(std::move(*request));
      else
        engine_.cancel(std::get<uint64_t>(order));
    }
    orders.clear();
    if (engine_.idle()) continue;
    try {
      engine_.step(events);
    } catch (const std::exception& e) {
      engine_.fail_all(e.what(), events);
    }
    if (!events.empty()) sink_(std::exchange(events, {}));
  }
}

}  // namespace tenth
