#include "engine/generator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/threads.h"
#include "engine/host_logits.h"

namespace tenth {
Generator::Generator(Transformer& model, const GenerationOptions& options) : model_(model), options_(options) {
  require(options.slots >= 1, ErrorKind::kInput, "slots: expected at least 1, got {}", options.slots);
  require(!options.speculate || model.has_mtp(), ErrorKind::kInput,
          "speculation needs a multi-token prediction module; this model has none (num_nextn_predict_layers is 0)");
  require(options.lookup_drafts >= 0 && options.lookup_drafts <= kMostDrafts, ErrorKind::kInput,
          "lookup_drafts: expected 0 to {}, got {}", kMostDrafts, options.lookup_drafts);
}

void Generator::check(std::span<const GenerationRequest> requests) const {
  const int64_t vocabulary = model_.config().vocab_size, context = model_.config().max_position_embeddings;
  for (const GenerationRequest& request : requests) {
    check_sampling(request.sampling);
    require(!request.prompt.empty(), ErrorKind::kInput, "prompt: expected at least one token, got none");
    require(request.max_new_tokens >= 0 && request.samples >= 1, ErrorKind::kInput,
            "max_new_tokens, samples: expected at least 0 and 1, got {} and {}", request.max_new_tokens,
            request.samples);
    require(int64_t(request.prompt.size()) + request.max_new_tokens <= context, ErrorKind::kInput,
            "prompt of {} tokens and {} new ones: the model's max_position_embeddings is {}", request.prompt.size(),
            request.max_new_tokens, context);
    for (int32_t id : request.prompt) {
      require(id >= 0 && id < vocabulary, ErrorKind::kInput, "prompt: expected ids in 0 … {}, got {}", vocabulary - 1,
              id);
    }
  }
}

// As many blocks as the sequences that may run together can need, so that none waits for another's.
void Generator::reserve_cache(std::span<const GenerationRequest> requests) {
  std::vector<int64_t> needs;
  for (const GenerationRequest& request : requests) {
    // One position more than the last: a draft that is fed and refused.
    const int64_t need = blocks_for(int64_t(request.prompt.size()) + request.max_new_tokens + 1);
    needs.insert(needs.end(), size_t(request.samples), need);
  }
  const size_t together = std::min(needs.size(), size_t(options_.slots));
  std::partial_sort(needs.begin(), needs.begin() + long(together), needs.end(), std::greater<>());
  const int64_t blocks = std::accumulate(needs.begin(), needs.begin() + long(together), int64_t(0));
  table_width_ = needs.empty() ? 0 : needs.front();
  if (cache_.blocks < blocks) {
    cache_ = KvCache();
    cache_ = model_.make_cache(blocks, options_.cache);
  }
  pool_ = BlockPool(cache_.blocks);
}

std::vector<Completion> Generator::generate(std::span<const GenerationRequest> requests, const OnToken& on_token) {
  NoGrad off;
  check(requests);
  requests_ = requests;
  on_token_ = &on_token;
  reserve_cache(requests);
  completions_.clear();
  first_completion_.clear();
  for (const GenerationRequest& request : requests) {
    first_completion_.push_back(completions_.size());
    completions_.resize(completions_.size() + size_t(request.samples));
    for (size_t i = first_completion_.back(); i < completions_.size(); i++) {
      completions_[i].ids.reserve(size_t(request.max_new_tokens));
      completions_[i].logprobs.reserve(size_t(request.max_new_tokens));
    }
  }
  sequences_.clear();
  copies_.clear();
  next_request_ = 0;
  next_sample_ = 0;
  for (;;) {
    admit();
    if (sequences_.empty()) break;
    step();
    retire();
  }
  return std::move(completions_);
}

// Starts waiting samples where there is room, and runs their prompts.
void Generator::admit() {
  constexpr size_t kPrefillTokens = 8192;  // at a time
  const size_t slots = size_t(options_.slots);
  std::vector<size_t> leaders;  // the first sequence of each request that is admitted
  size_t tokens = 0;
  while (next_request_ < requests_.size() && sequences_.size() < slots && tokens < kPrefillTokens) {
    const GenerationRequest& request = requests_[next_request_];
    if (request.max_new_tokens == 0) {
      next_request_++;
      continue;
    }
    leaders.push_back(sequences_.size());
    tokens += request.prompt.size();
    while (next_sample_ < request.samples && sequences_.size() < slots) add_sequence(leaders.back());
    if (next_sample_ == request.samples) {
      next_request_++;
      next_sample_ = 0;
    }
  }
  if (leaders.empty()) return;
  prefill(leaders);
  retire();
  if (sequences_.empty()) admit();
}

void Generator::add_sequence(size_t leader) {
  const int64_t length = int64_t(requests_[next_request_].prompt.size());
  Sequence& sequence = sequences_.emplace_back();
  sequence.request = next_request_;
  sequence.sample = next_sample_++;
  sequence.out = &completions_[first_completion_[next_request_] + size_t(sequence.sample)];
  sequence.position = int32_t(length);
  sequence.blocks.reserve(size_t(table_width_));
  if (leader + 1 == sequences_.size())
    pool_.extend(sequence.blocks, length);
  else  // what the prediction module stores at a prompt's last position depends on the token drawn after it
    pool_.fork(sequences_[leader].blocks, options_.speculate ? length - 1 : length, sequence.blocks, copies_);
}

BlockTables Generator::tables(std::span<const size_t> sequences) {
  tables_.assign(sequences.size() * size_t(table_width_), 0);
  for (size_t i = 0; i < sequences.size(); i++) {
    const std::vector<int32_t>& blocks = sequences_[sequences[i]].blocks;
    std::copy(blocks.begin(), blocks.end(), tables_.begin() + int64_t(i) * table_width_);
  }
  return {tables_, table_width_};
}

BlockTables Generator::all_tables() {
  all_.resize(sequences_.size());
  std::iota(all_.begin(), all_.end(), size_t(0));
  return tables(all_);
}

void Generator::step() {
  Backend& backend = model_.backend();
  rows_.clear();
  ids_.clear();
  positions_.clear();
  owners_.clear();
  for (size_t s = 0; s < sequences_.size(); s++) {
    Sequence& sequence = sequences_[s];
    const auto feed = [&](int32_t id, int32_t position) {
      rows_.push_back({s, position});
      ids_.push_back(id);
      positions_.push_back(position);
      owners_.push_back(int32_t(s));
    };
    pool_.extend(sequence.blocks, sequence.position + 1 + int64_t(sequence.drafts.size()));
    feed(sequence.out->ids.back(), sequence.position);
    for (size_t i = 0; i < sequence.drafts.size(); i++) feed(sequence.drafts[i], sequence.position + 1 + int32_t(i));
  }
  statistics_.steps++;
  Pass pass;
  pass.batch = make_step(backend, ids_, positions_, owners_, all_tables());
  pass.cache = &cache_;
  pass.decode = true;
  pass.record_routing = options_.record_routing;
  const Tensor hidden = model_.hidden(pass).value();
  draw(model_.logits(hidden).value(), rows_);
  record_routing(pass, kept_);
  make_drafts(hidden);
}

void Generator::draw(const Tensor& logits, std::span<const Row> rows) {
  Backend& backend = model_.backend();
  const size_t vocabulary = size_t(logits.dim(1));
  read_logits(logits, host_logits_);
  chosen_.assign(rows.size(), -1);
  kept_.clear();
  kept_row_.clear();
  const auto sample = [&](size_t r) {
    static thread_local Sampler sampler;
    static thread_local std::vector<int32_t> history;
    const Sequence& sequence = sequences_[rows[r].sequence];
    const GenerationRequest& request = requests_[sequence.request];
    const std::vector<int32_t>& ids = sequence.out->ids;
    if (request.sampling.repetition_penalty != 1) {
      history.assign(request.prompt.begin(), request.prompt.end());
      history.insert(history.end(), ids.begin(), ids.end());
    }
    return sampler.sample({host_logits_.data() + r * vocabulary, vocabulary}, request.sampling, history,
                          uint64_t(sequence.sample), ids.size());
  };
  // Without drafts no row's draw depends on another's.
  if (!drafting()) {
    const int64_t grain = int64_t(4096 / vocabulary + 1);
    parallel_for(int64_t(rows.size()), grain, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) chosen_[size_t(r)] = sample(size_t(r));
    });
  }
  for (size_t r = 0; r < rows.size(); r++) {
    Sequence& sequence = sequences_[rows[r].sequence];
    if (drafting()) {
      const bool after_draft = r > 0 && rows[r - 1].sequence == rows[r].sequence;
      if (after_draft) {
        statistics_.drafts++;
        if (!sequence.running || chosen_[r - 1] != ids_[r]) continue;
        statistics_.accepted++;
      }
      chosen_[r] = sample(r);
    }
    const GenerationRequest& request = requests_[sequence.request];
    std::vector<int32_t>& ids = sequence.out->ids;
    const int32_t id = chosen_[r];
    kept_.push_back(rows[r]);
    kept_row_.push_back(r);
    ids.push_back(id);
    sequence.position = rows[r].position + 1;
    statistics_.new_tokens++;
    const bool stop = std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end();
    const bool refused = *on_token_ && !(*on_token_)(sequence.request, sequence.sample, id);
    sequence.out->stopped = stop;
    if (stop || refused || int32_t(ids.size()) >= request.max_new_tokens) sequence.running = false;
  }
  // The model's own log-probabilities, by the kernel that training uses.
  if (options_.logprob_temperature != 1) backend.scale(logits, logits, 1 / options_.logprob_temperature);
  const int64_t count = int64_t(rows.size());
  Tensor logprobs = Tensor::make(backend, logits.dtype(), {count}),
         lse = Tensor::make(backend, logits.dtype(), {count});
  backend.logprobs_forward(logprobs, lse, Tensor(), logits, Tensor::from_host<int32_t>(backend, chosen_, {count}));
  Tensor single = logprobs;
  if (logprobs.dtype() != DType::kF32) {
    single = Tensor::make(backend, DType::kF32, {count});
    backend.copy(single, logprobs);
  }
  host_logprobs_.resize(rows.size());
  backend.copy_to_host(host_logprobs_.data(), single.raw(), single.bytes());
  for (size_t i = 0; i < kept_.size(); i++) {
    const float logprob = host_logprobs_[kept_row_[i]];
    require(std::isfinite(logprob), ErrorKind::kNumeric,
            "the log-probability of a new token is {}: the model's weights or activations are not finite", logprob);
    sequences_[kept_[i].sequence].out->logprobs.push_back(logprob);
  }
}

// Appends the experts of fed tokens to their sequences. rows: those of the pass that count, a subset in its order.
void Generator::record_routing(const Pass& pass, std::span<const Row> rows) {
  if (!options_.record_routing || pass.routings.empty()) return;
  const size_t mixtures = pass.routings.size(), k = size_t(pass.routings[0].dim(1)),
               tokens = size_t(pass.routings[0].dim(0));
  experts_.resize(mixtures * tokens * k);
  for (size_t m = 0; m < mixtures; m++) {
    model_.backend().copy_to_host(experts_.data() + m * tokens * k, pass.routings[m].raw(), pass.routings[m].bytes());
  }
  const bool all = rows.size() == tokens;
  for (size_t i = 0; i < rows.size(); i++) {
    const size_t row = all ? i : kept_row_[i];
    std::vector<int32_t>& out = sequences_[rows[i].sequence].out->experts;
    for (size_t m = 0; m < mixtures; m++) {
      const int32_t* from = experts_.data() + (m * tokens + row) * k;
      out.insert(out.end(), from, from + k);
    }
  }
}

void Generator::make_drafts(const Tensor& hidden) {
  for (const Row& row : kept_) sequences_[row.sequence].drafts.clear();
  if (options_.speculate) predict_drafts(hidden);
  if (options_.lookup_drafts > 0) look_up_drafts();
}

void Generator::look_up_drafts() {
  for (const Row& row : kept_) {
    Sequence& sequence = sequences_[row.sequence];
    const GenerationRequest& request = requests_[sequence.request];
    const std::vector<int32_t>& ids = sequence.out->ids;
    // The last token needs no draft: it is drawn behind the one before it.
    const int64_t room = request.max_new_tokens - int64_t(ids.size()) - 1;
    if (!sequence.running || row.position + 1 != sequence.position || room <= 0) continue;
    lookup_drafts(request.prompt, ids, std::min<int64_t>(options_.lookup_drafts, room), found_);
    if (!found_.empty()) sequence.drafts = found_;
  }
}

void Generator::predict_drafts(const Tensor& hidden) {
  if (kept_.empty()) return;
  Backend& backend = model_.backend();
  ids_.clear();
  positions_.clear();
  owners_.clear();
  next_.clear();
  for (size_t i = 0; i < kept_.size(); i++) {
    ids_.push_back(int32_t(kept_row_[i]));
    next_.push_back(chosen_[kept_row_[i]]);
    positions_.push_back(kept_[i].position);
    owners_.push_back(int32_t(kept_[i].sequence));
  }
  Pass pass;
  pass.batch = make_step(backend, next_, positions_, owners_, all_tables());
  pass.cache = &cache_;
  pass.decode = true;
  const Tensor states = gather_rows(hidden, ids_);
  const Tensor logits = model_.logits(model_.mtp_hidden(states, pass.batch.ids, pass)).value();
  const size_t vocabulary = size_t(logits.dim(1));
  read_logits(logits, host_logits_);
  for (size_t i = 0; i < kept_.size(); i++) {
    Sequence& sequence = sequences_[kept_[i].sequence];
    const float* row = host_logits_.data() + i * vocabulary;
    // The last of a sequence's rows wins. No draft where only one token is left to make.
    const bool room = int32_t(sequence.out->ids.size()) + 1 < requests_[sequence.request].max_new_tokens;
    sequence.drafts.clear();
    if (room) sequence.drafts.push_back(int32_t(std::max_element(row, row + vocabulary) - row));
  }
}

void Generator::retire() {
  for (Sequence& sequence : sequences_) {
    if (!sequence.running) pool_.clear(sequence.blocks);
  }
  std::erase_if(sequences_, [](const Sequence& sequence) { return !sequence.running; });
}

}  // namespace tenth
