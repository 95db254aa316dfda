#include "engine/engine.h"

#include <algorithm>

#include "base/available_memory.h"
#include "base/clock.h"

namespace tenth {
namespace {

constexpr int64_t kMostCacheTokens = 65536;  // where nobody said how many
constexpr double kRestoreSeconds = 0.02;     // of a step, in which the others wait

int64_t bytes_of(const KvCache& cache) {
  int64_t bytes = 0;
  for (const LayerCache& layer : cache.layers)
    for (const Tensor& part : layer.parts())
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

}  // namespace

Engine::Engine(Transformer& model, const EngineOptions& options)
    : model_(model),
      options_(options),
      module_(options.module_drafts),
      cache_(make_cache(model, options)),
      pool_(cache_.blocks),
      prefixes_(cache_.blocks, module_),
      disk_(options.disk.folder.empty() ? nullptr
                                        : std::make_unique<DiskPrefixes>(model, cache_, options.disk, module_)),
      table_width_(std::min(cache_.blocks, blocks_for(model.config().max_position_embeddings))) {
  require(options.lookup_drafts >= 0 && options.lookup_drafts <= kMostDrafts, ErrorKind::kInput,
          "lookup_drafts: expected 0 to {}, got {}", kMostDrafts, options.lookup_drafts);
  statistics_.blocks = cache_.blocks;
  require(!module_ || model.has_mtp(), ErrorKind::kInput,
          "speculation needs a multi-token prediction module; this model has none (num_nextn_predict_layers is 0)");
  statistics_.accepted_at.resize(size_t(std::max(options.lookup_drafts, int32_t(module_))));
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
  const std::span<const int32_t> ids(sequence.ids.data(), sequence.ids.size() - (module_ ? 0 : 1));
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
    parts_.push_back({.sequence = it, .first = 0, .rows = 1, .drafts = 0});
  }
  int64_t budget = options_.step_tokens;
  for (Place it = running_.begin(); it != running_.end() && budget > 0; ++it) {
    if (unread(*it) <= 1 || it->disk.restoring) continue;
    const bool first = budget == options_.step_tokens;
    const int64_t rows = std::min(unread(*it), first && readers > 1 ? std::max<int64_t>(1, budget / 2) : budget);
    if (!make_room(it, it->read + rows)) break;
    parts_.push_back({.sequence = it, .first = 0, .rows = rows, .drafts = 0});
    budget -= rows;
  }
  plan_drafts();
  int64_t first = 0;
  for (Part& part : parts_) {
    part.first = first;
    first += part.rows;
  }
  statistics_.blocks_in_use = pool_.blocks() - pool_.free_blocks();
  statistics_.last_batch = first;
}

// A step takes about as long as kReading + rows rows would: weights are read once, whatever the number of rows. So a
// step of R rows that gives R tokens gives more a second with a further row if that row gives a token in more than R of
// R + kReading cases: 20 % of them for one sequence alone, 67 % for eight, 97 % beside a long prompt. Guesses yield as
// the batch grows. Measured on two cores: 6 rows for SmolLM2-135M in Q4_1 (2.7 ms + 0.44 ms a row), 8 in bf16, 5 for a
// mixture of experts in Q4_0, more in f32; somewhat fewer are taken for granted, since a guess that pays little is no
// loss when it is left out. First guesses come before second ones. They take free blocks only.
void Engine::plan_drafts() {
  constexpr double kReading = 4;
  double rows = 0;
  for (Part& part : parts_) {
    rows += double(part.rows);
    const Guesses &lookup = part.sequence->lookup, &module = part.sequence->module;
    const bool other = lookup.ids().empty() || (!module.ids().empty() && module.chance(1) > lookup.chance(1));
    part.guesses = other ? &module : &lookup;
  }
  bool more = true;
  for (int64_t depth = 1; more; depth++) {
    more = false;
    for (Part& part : parts_) {
      Sequence& sequence = *part.sequence;
      const int64_t fed = sequence.read + part.rows, blocks = int64_t(sequence.blocks.size());
      if (part.drafts + 1 != depth || fed != int64_t(sequence.ids.size()) + part.drafts) continue;
      if (depth > int64_t(part.guesses->ids().size())) continue;
      if (part.guesses->chance(depth) <= rows / (rows + kReading)) continue;
      if (blocks_for(fed + 1) > blocks + pool_.free_blocks()) continue;
      make_room(part.sequence, fed + 1);
      part.drafts++;
      part.rows++;
      rows++;
      more = true;
    }
  }
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
    const int64_t known = int64_t(sequence.ids.size()) - sequence.read;
    for (int64_t r = 0; r < parts_[i].rows; r++) {
      ids_.push_back(r < known ? sequence.ids[size_t(sequence.read + r)] : parts_[i].guesses->ids()[size_t(r - known)]);
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

// Full blocks can be found by others from now on; with the module's rows in them, once the token behind is known.
void Engine::remember(Sequence& sequence) {
  const size_t edge = size_t(kCacheBlock + module_);
  for (; (sequence.known + 1) * kCacheBlock <= sequence.read; sequence.known++) {
    const std::span<const int32_t> rest =
        std::span<const int32_t>(sequence.ids).subspan(size_t(sequence.known * kCacheBlock));
    if (rest.size() < edge) break;
    const std::span<const int32_t> ids = rest.first(edge);
    const int32_t block = sequence.blocks[size_t(sequence.known)];
    sequence.node = prefixes_.put(sequence.node, ids, block);
    if (disk_) disk_->keep(sequence.disk, sequence.ids, block);
  }
  statistics_.blocks_of_prefixes = prefixes_.blocks();
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
