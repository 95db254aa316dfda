#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/available_memory.h"
#include "base/clock.h"
#include "base/threads.h"
#include "engine/host_logits.h"

namespace tenth {
namespace {

constexpr int64_t kMostCacheTokens = 65536;  // where nobody said how many
constexpr double kRestoreSeconds = 0.02;     // of a step, in which the others wait

int64_t bytes_of(const KvCache& cache) {
  int64_t bytes = 0;
  for (const LayerCache& layer : cache.layers)
    for (const Tensor& part : {layer.keys, layer.values, layer.latent})
      if (part) bytes += int64_t(part.bytes());
  return bytes;
}

KvCache make_cache(const Transformer& model, const EngineOptions& options) {
  const int64_t context = model.config().max_position_embeddings, block = bytes_of(model.make_cache(1)),
                free = available_memory() / block;
  if (options.cache_tokens == 0) {
    const int64_t wanted = blocks_for(std::min(kMostCacheTokens, options.max_sequences * context));
    return model.make_cache(std::max<int64_t>(1, std::min(wanted, free / 2)));
  }
  const int64_t blocks = blocks_for(options.cache_tokens);
  require(blocks <= free, ErrorKind::kInput,
          "--cache-tokens {}: that takes {:.0f} MB, and {:.0f} MB are free: at most {} would fit", options.cache_tokens,
          double(blocks) * double(block) / 1e6, double(free) * double(block) / 1e6, free * kCacheBlock);
  return model.make_cache(blocks);
}

bool all_finite(std::span<const float> values) {
  bool finite = true;
  for (float x : values) finite &= std::abs(x) <= std::numeric_limits<float>::max();
  return finite;
}

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void forbid(std::span<const uint32_t> mask, std::span<float> logits) {
  for (size_t w = 0; w * 32 < logits.size(); w++) {
    const uint32_t bits = w < mask.size() ? mask[w] : 0;
    const size_t end = std::min(logits.size(), w * 32 + 32);
    if (bits == ~0u) continue;
    for (size_t id = w * 32; id < end; id++)
      if (!(bits >> (id % 32) & 1)) logits[id] = kForbidden;
  }
}

// Log-probabilities of a row: that of id, and the likeliest ones.
TokenReport report_of(std::span<const float> logits, int32_t id, int32_t top) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(double(x) - largest);
  const double lse = largest + std::log(sum);
  TokenReport report{id, float(logits[size_t(id)] - lse), {}};
  if (top <= 0) return report;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t count = std::min(order.size(), size_t(top));
  const auto likelier = [&](int32_t a, int32_t b) {
    return logits[size_t(a)] != logits[size_t(b)] ? logits[size_t(a)] > logits[size_t(b)] : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + long(count), order.end(), likelier);
  for (size_t i = 0; i < count; i++) report.top.push_back({order[i], float(logits[size_t(order[i])] - lse)});
  return report;
}

}  // namespace

Engine::Engine(Transformer& model, const EngineOptions& options)
    : model_(model),
      options_(options),
      cache_(make_cache(model, options)),
      pool_(cache_.blocks),
      prefixes_(cache_.blocks),
      disk_(options.disk.folder.empty() ? nullptr : std::make_unique<DiskPrefixes>(model, cache_, options.disk)),
      table_width_(std::min(cache_.blocks, blocks_for(model.config().max_position_embeddings))) {
  statistics_.blocks = cache_.blocks;
}

int64_t Engine::cache_bytes() const { return bytes_of(cache_); }

void Engine::check(const EngineRequest& request) const {
  const int64_t vocabulary = model_.config().vocab_size, context = model_.config().max_position_embeddings;
  const int64_t tokens = int64_t(request.prompt.size()) + request.max_new_tokens;
  check_sampling(request.sampling);
  require(!request.prompt.empty(), ErrorKind::kInput, "prompt: expected at least one token, got none");
  require(request.max_new_tokens >= 0, ErrorKind::kInput, "max_new_tokens: expected at least 0, got {}",
          request.max_new_tokens);
  require(tokens <= context, ErrorKind::kInput, "prompt of {} tokens and {} new ones: the model's context is {}",
          request.prompt.size(), request.max_new_tokens, context);
  require(tokens <= cache_tokens(), ErrorKind::kInput, "prompt of {} tokens and {} new ones: the cache holds {}",
          request.prompt.size(), request.max_new_tokens, cache_tokens());
  require(!request.grammar || !request.thinking.open || request.thinking.end >= 0, ErrorKind::kInput,
          "the prompt opens a thought, and this model has no token that ends one: a grammar could never begin");
  const auto known = [&](int32_t id) {
    require(id >= 0 && id < vocabulary, ErrorKind::kInput, "expected ids in 0 … {}, got {}", vocabulary - 1, id);
  };
  for (int32_t id : request.prompt) known(id);
  for (int32_t id : request.stop_ids) known(id);
  for (const auto& [id, value] : request.rules.bias) known(id);
}

void Engine::add(EngineRequest request) {
  Sequence& sequence = waiting_.emplace_back();
  sequence.ids = request.prompt;
  sequence.thinks = request.thinking.open;
  if (request.grammar) sequence.matcher.emplace(request.grammar);
  sequence.request = std::move(request);
  statistics_.waiting = int64_t(waiting_.size());
}

void Engine::cancel(uint64_t id) {
  std::erase_if(waiting_, [&](const Sequence& sequence) { return sequence.request.id == id; });
  for (Place it = running_.begin(); it != running_.end(); ++it) {
    if (it->request.id != id) continue;
    end(it);
    break;
  }
  statistics_.waiting = int64_t(waiting_.size());
}

void Engine::end(Place sequence) {
  pool_.clear(sequence->blocks);
  running_.erase(sequence);
  statistics_.running = int64_t(running_.size());
  statistics_.blocks_in_use = pool_.blocks() - pool_.free_blocks();
}

void Engine::fail_all(const std::string& error, std::vector<EngineEvent>& events) {
  for (const Sequence& sequence : running_)
    events.push_back({.kind = EngineEvent::Kind::kFailed, .request = sequence.request.id, .error = error});
  for (const Sequence& sequence : waiting_)
    events.push_back({.kind = EngineEvent::Kind::kFailed, .request = sequence.request.id, .error = error});
  while (!running_.empty()) end(running_.begin());
  waiting_.clear();
  statistics_.waiting = 0;
}

void Engine::admit() {
  while (!waiting_.empty() && int64_t(running_.size()) < options_.max_sequences) {
    // One that fits into no free memory waits for others to end, unless there are none.
    const int64_t need = blocks_for(int64_t(waiting_.front().ids.size()) + 1);
    if (!running_.empty() && need > pool_.free_blocks()) break;
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    begin(running_.back());
  }
  statistics_.running = int64_t(running_.size());
  statistics_.waiting = int64_t(waiting_.size());
}

// The last token is always fed: its logits are wanted.
void Engine::begin(Sequence& sequence) {
  sequence.read = sequence.known = 0;
  sequence.node = 0;
  const bool whole = sequence.request.prompt_logprobs && !sequence.started;
  const std::span<const int32_t> ids(sequence.ids.data(), sequence.ids.size() - 1);
  if (!whole) sequence.blocks = prefixes_.find(ids, sequence.node);
  for (int32_t block : sequence.blocks) pool_.hold(block);
  sequence.known = int64_t(sequence.blocks.size());
  sequence.read = sequence.known * kCacheBlock;
  if (!sequence.started) sequence.cached = sequence.read;
  statistics_.cached_tokens += sequence.started ? 0 : sequence.read;
  if (disk_) sequence.disk = disk_->begin(sequence.ids, sequence.blocks, whole);
}

// Blocks from disk for the sequences that have some there, the oldest first. While others could go on, for a part of a
// step at a time.
void Engine::restore() {
  const auto restoring = [](const Sequence& sequence) { return sequence.disk.restoring; };
  const double end = monotonic_seconds() + kRestoreSeconds;
  for (;;) {
    const Place it = std::find_if(running_.begin(), running_.end(), restoring);
    if (it == running_.end()) return;
    if (monotonic_seconds() > end && !std::all_of(running_.begin(), running_.end(), restoring)) return;
    if (!make_room(it, it->read + kCacheBlock) || !disk_->restore(it->disk, it->ids, it->blocks[size_t(it->known)]))
      continue;
    it->read += kCacheBlock;
    remember(*it);
    statistics_.restored_blocks++;
    if (it->started) continue;
    it->cached = it->read;
    statistics_.cached_tokens += kCacheBlock;
  }
}

void Engine::give_way(Place sequence) {
  pool_.clear(sequence->blocks);
  waiting_.push_front(std::move(*sequence));
  running_.erase(sequence);
  statistics_.preemptions++;
}

bool Engine::make_room(Place sequence, int64_t positions) {
  while (int64_t(sequence->blocks.size()) < blocks_for(positions)) {
    if (pool_.free_blocks() > 0) {
      const int32_t block = pool_.take();
      prefixes_.forget(block);
      sequence->blocks.push_back(block);
      continue;
    }
    const Place youngest = std::prev(running_.end());
    const bool itself = youngest == sequence;
    std::erase_if(parts_, [&](const Part& part) { return part.sequence == youngest; });
    give_way(youngest);
    if (itself) return false;
  }
  return true;
}

// First a token of each sequence that is being continued, then parts of prompts, the oldest first. The oldest prompt
// gets at most half of what a step has while others wait, so that short ones get past a long one.
void Engine::plan() {
  const auto unread = [](const Sequence& s) { return int64_t(s.ids.size()) - s.read; };
  parts_.clear();
  restore();
  int64_t readers = 0;
  for (Place it = running_.begin(); it != running_.end(); ++it) {
    if (it->disk.restoring) continue;
    if (unread(*it) > 1) {
      readers++;
      continue;
    }
    if (!make_room(it, it->read + 1)) break;  // it was the youngest
    parts_.push_back({it, 0, 1});
  }
  int64_t budget = options_.step_tokens;
  for (Place it = running_.begin(); it != running_.end() && budget > 0; ++it) {
    if (unread(*it) <= 1 || it->disk.restoring) continue;
    const bool first = budget == options_.step_tokens;
    const int64_t rows = std::min(unread(*it), first && readers > 1 ? std::max<int64_t>(1, budget / 2) : budget);
    if (!make_room(it, it->read + rows)) break;
    parts_.push_back({it, 0, rows});
    budget -= rows;
  }
  int64_t first = 0;
  for (Part& part : parts_) {
    part.first = first;
    first += part.rows;
  }
  statistics_.blocks_in_use = pool_.blocks() - pool_.free_blocks();
  statistics_.last_batch = first;
}

Tensor Engine::run() {
  Backend& backend = model_.backend();
  ids_.clear();
  positions_.clear();
  owners_.clear();
  tables_.assign(parts_.size() * size_t(table_width_), 0);
  for (size_t i = 0; i < parts_.size(); i++) {
    const Sequence& sequence = *parts_[i].sequence;
    std::copy(sequence.blocks.begin(), sequence.blocks.end(), tables_.begin() + int64_t(i) * table_width_);
    for (int64_t r = 0; r < parts_[i].rows; r++) {
      ids_.push_back(sequence.ids[size_t(sequence.read + r)]);
      positions_.push_back(int32_t(sequence.read + r));
      owners_.push_back(int32_t(i));
    }
  }
  Pass pass;
  pass.batch = make_step(backend, ids_, positions_, owners_, {tables_, table_width_});
  pass.cache = &cache_;
  pass.decode = true;
  return model_.hidden(pass).value();
}

// Full blocks can be found by others from now on.
void Engine::remember(Sequence& sequence) {
  for (; (sequence.known + 1) * kCacheBlock <= sequence.read; sequence.known++) {
    const std::span<const int32_t> ids(sequence.ids.data() + sequence.known * kCacheBlock, size_t(kCacheBlock));
    const int32_t block = sequence.blocks[size_t(sequence.known)];
    sequence.node = prefixes_.put(sequence.node, ids, block);
    if (disk_) disk_->keep(sequence.disk, sequence.ids, block);
  }
  statistics_.blocks_of_prefixes = prefixes_.blocks();
}

// The log-probabilities of prompts that want them, for the rows of this step.
void Engine::report_prompts(const Tensor& hidden) {
  const size_t vocabulary = size_t(model_.config().vocab_size);
  for (const Part& part : parts_) {
    Sequence& sequence = *part.sequence;
    const EngineRequest& request = sequence.request;
    if (!request.prompt_logprobs || sequence.started) continue;
    if (sequence.prompt.empty()) sequence.prompt.push_back({request.prompt[0], 0, {}});
    read_logits(model_.logits(hidden.slice(0, part.first, part.first + part.rows)).value(), logits_);
    for (int64_t r = 0; r < part.rows; r++) {
      const size_t next = size_t(sequence.read + r) + 1;
      if (next != sequence.prompt.size() || next >= request.prompt.size()) continue;
      sequence.prompt.push_back(report_of({logits_.data() + size_t(r) * vocabulary, vocabulary}, request.prompt[next],
                                          std::max(0, request.top_logprobs)));
    }
  }
}

Engine::Drawn Engine::draw_one(Sequence& sequence, std::span<float> logits) {
  static thread_local Sampler sampler;
  static thread_local std::vector<float> raw;
  const EngineRequest& request = sequence.request;
  const Thinking& thinking = request.thinking;
  if (!all_finite(logits)) return {{}, "the model's logits are not finite"};
  if (request.max_new_tokens == 0) return {TokenReport{0, 0, {}}, ""};
  if (request.top_logprobs >= 0) raw.assign(logits.begin(), logits.end());
  const auto before = std::span<const int32_t>(sequence.ids).subspan(request.prompt.size());
  Drawn y;
  try {
    if (sequence.thinks && thinking.budget >= 0 && sequence.thought >= thinking.budget) {
      y.token.id = thinking.end;
    } else {
      if (request.rules.any()) apply_rules(request.rules, logits, before, request.stop_ids);
      if (sequence.matcher && sequence.thinks)  // the answer is still to come
        for (int32_t id : request.stop_ids) logits[size_t(id)] = kForbidden;
      if (sequence.matcher && !sequence.thinks) {
        static thread_local std::vector<uint32_t> mask;
        mask.resize(request.grammar->vocabulary().mask_words());
        bool any = sequence.matcher->fill_mask(mask);
        const size_t begin = size_t(thinking.begin);
        if (before.empty() && thinking.begin >= 0 && begin / 32 < mask.size()) {  // it may think first
          mask[begin / 32] |= 1u << (begin % 32);
          any = true;
        }
        if (!any) return {{}, "no token of the model can go on with what the grammar asks for"};
        forbid(mask, logits);
      }
      y.token.id = sampler.sample(logits, request.sampling, sequence.ids, request.sample, before.size());
    }
    const int32_t id = y.token.id;
    if (sequence.thinks) {
      sequence.thought++;
      sequence.thinks = id != thinking.end;
    } else if (id == thinking.begin && before.empty()) {
      sequence.thinks = true;
    } else if (sequence.matcher) {
      require(sequence.matcher->accept(id), ErrorKind::kInternal, "token {} was drawn against the grammar's mask", id);
    }
  } catch (const std::exception& e) {
    return {{}, e.what()};
  }
  if (request.top_logprobs >= 0) y.token = report_of(raw, y.token.id, request.top_logprobs);
  return y;
}

void Engine::draw(const Tensor& hidden, std::vector<EngineEvent>& events) {
  using Kind = EngineEvent::Kind;
  Backend& backend = model_.backend();
  const size_t vocabulary = size_t(model_.config().vocab_size);
  std::vector<Place> drawing;
  last_rows_.clear();
  for (const Part& part : parts_) {
    Sequence& sequence = *part.sequence;
    sequence.read += part.rows;
    remember(sequence);
    if (sequence.read < int64_t(sequence.ids.size())) continue;
    drawing.push_back(part.sequence);
    last_rows_.push_back(int32_t(part.first + part.rows) - 1);
  }
  if (drawing.empty()) return;
  Tensor last = Tensor::make(backend, hidden.dtype(), {int64_t(last_rows_.size()), hidden.dim(1)});
  backend.gather_rows(last, hidden, Tensor::from_host(backend, last_rows_));
  read_logits(model_.logits(last).value(), logits_);
  std::vector<Drawn> drawn(drawing.size());
  parallel_for(int64_t(drawing.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      drawn[size_t(i)] =
          draw_one(*drawing[size_t(i)], std::span<float>(logits_.data() + size_t(i) * vocabulary, vocabulary));
  });
  for (size_t i = 0; i < drawing.size(); i++) {
    Sequence& sequence = *drawing[i];
    const EngineRequest& request = sequence.request;
    if (!drawn[i].error.empty()) {
      events.push_back({.kind = Kind::kFailed, .request = request.id, .error = drawn[i].error});
      end(drawing[i]);
      continue;
    }
    if (!sequence.started) {
      sequence.started = true;
      events.push_back({.kind = Kind::kStarted,
                        .request = request.id,
                        .cached_tokens = sequence.cached,
                        .prompt = std::move(sequence.prompt)});
    }
    const int32_t id = drawn[i].token.id;
    if (request.max_new_tokens > 0) {
      sequence.ids.push_back(id);
      statistics_.new_tokens++;
      events.push_back({.kind = Kind::kToken, .request = request.id, .token = std::move(drawn[i].token)});
    }
    const bool stop = request.max_new_tokens > 0 &&
                      (std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end() ||
                       (sequence.matcher && sequence.matcher->finished()));
    if (!stop && sequence.drawn() < request.max_new_tokens) continue;
    events.push_back({.kind = stop ? Kind::kStopped : Kind::kLength, .request = request.id});
    end(drawing[i]);
  }
}

void Engine::step(std::vector<EngineEvent>& events) {
  NoGrad off;
  const double begin = monotonic_seconds();
  admit();
  plan();
  require(!parts_.empty(), ErrorKind::kInternal, "a step of the engine with nothing to do: {} running, {} waiting",
          running_.size(), waiting_.size());
  for (const Part& part : parts_)
    if (part.sequence->drawn() == 0) statistics_.prompt_tokens += part.rows;
  const double before = monotonic_seconds();
  const Tensor hidden = run();
  report_prompts(hidden);
  const double seconds = monotonic_seconds() - before;
  statistics_.model_seconds += seconds;
  if (disk_) disk_->computed(int64_t(ids_.size()), seconds);
  draw(hidden, events);
  statistics_.steps++;
  statistics_.step_seconds += monotonic_seconds() - begin;
}

}  // namespace tenth
