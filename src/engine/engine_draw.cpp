// The engine's second half of a step: from hidden states to tokens, reports and events.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/clock.h"
#include "base/threads.h"
#include "engine/engine.h"
#include "engine/host_logits.h"

namespace tenth {
namespace {

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

TokenReport Engine::draw_one(Sequence& sequence, std::span<float> logits) {
  static thread_local Sampler sampler;
  static thread_local std::vector<float> raw;
  const EngineRequest& request = sequence.request;
  const Thinking& thinking = request.thinking;
  require(all_finite(logits), ErrorKind::kNumeric, "the model's logits are not finite");
  if (request.max_new_tokens == 0) return {0, 0, {}};
  if (request.top_logprobs >= 0) raw.assign(logits.begin(), logits.end());
  const auto before = std::span<const int32_t>(sequence.ids).subspan(request.prompt.size());
  int32_t id = thinking.end;
  if (!sequence.thinks || thinking.budget < 0 || sequence.thought < thinking.budget) {
    if (request.rules.any()) apply_rules(request.rules, logits, before, request.stop_ids);
    if (sequence.matcher && sequence.thinks)  // the answer is still to come
      for (int32_t stop : request.stop_ids) logits[size_t(stop)] = kForbidden;
    if (sequence.matcher && !sequence.thinks) {
      static thread_local std::vector<uint32_t> mask;
      mask.resize(request.grammar->vocabulary().mask_words());
      bool any = sequence.matcher->fill_mask(mask);
      const size_t begin = size_t(thinking.begin);
      if (before.empty() && thinking.begin >= 0 && begin / 32 < mask.size()) {  // it may think first
        mask[begin / 32] |= 1u << (begin % 32);
        any = true;
      }
      require(any, ErrorKind::kInput, "no token of the model can go on with what the grammar asks for");
      forbid(mask, logits);
    }
    id = sampler.sample(logits, request.sampling, sequence.ids, request.sample, before.size());
  }
  if (sequence.thinks) {
    sequence.thought++;
    sequence.thinks = id != thinking.end;
  } else if (id == thinking.begin && before.empty()) {
    sequence.thinks = true;
  } else if (sequence.matcher) {
    require(sequence.matcher->accept(id), ErrorKind::kInternal, "token {} was drawn against the grammar's mask", id);
  }
  return request.top_logprobs >= 0 ? report_of(raw, id, request.top_logprobs) : TokenReport{id, 0, {}};
}

Engine::Drawn Engine::draw_some(const Part& part, std::span<float> logits) const {
  Sequence& sequence = *part.sequence;
  const EngineRequest& request = sequence.request;
  const size_t vocabulary = logits.size() / size_t(1 + part.drafts);
  Drawn y;
  try {
    for (int64_t row = 0; row <= part.drafts; row++) {
      TokenReport token = draw_one(sequence, logits.subspan(size_t(row) * vocabulary, vocabulary));
      if (request.max_new_tokens == 0) return y;
      const int32_t id = token.id;
      y.tokens.push_back(std::move(token));
      sequence.ids.push_back(id);
      y.stopped = std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end() ||
                  (sequence.matcher && sequence.matcher->finished());
      if (y.stopped || sequence.drawn() == request.max_new_tokens) return y;
      const bool right = row < part.drafts && part.guesses->ids()[size_t(row)] == id;
      sequence.lookup.came(id);
      sequence.module.came(id);
      if (!right) break;
    }
    // The last token needs no guess: it is drawn behind the one before it.
    const int64_t most = std::min<int64_t>(options_.lookup_drafts, request.max_new_tokens - sequence.drawn() - 1);
    sequence.lookup.look(sequence.ids, most);
    sequence.module.clear();
  } catch (const std::exception& e) {
    y.error = e.what();
  }
  return y;
}

void Engine::draw(const Tensor& hidden, std::vector<EngineEvent>& events) {
  const size_t vocabulary = size_t(model_.config().vocab_size);
  last_rows_.clear();
  std::vector<size_t> begins;  // of a part's logits
  for (Part& part : parts_) {
    Sequence& sequence = *part.sequence;
    part.from = sequence.read;
    sequence.read += part.rows - part.drafts;
    part.draws = sequence.read == int64_t(sequence.ids.size());
    begins.push_back(last_rows_.size());
    for (int64_t r = part.rows - part.drafts - 1; part.draws && r < part.rows; r++)
      last_rows_.push_back(int32_t(part.first + r));
  }
  std::vector<Drawn> drawn(parts_.size());
  if (!last_rows_.empty()) {
    read_logits(model_.logits(gather_rows(hidden, last_rows_)).value(), logits_);
    parallel_for(int64_t(parts_.size()), 1, [&](int64_t begin, int64_t end) {
      for (size_t i = size_t(begin); i < size_t(end); i++) {
        const size_t rows = size_t(1 + parts_[i].drafts);
        if (parts_[i].draws)
          drawn[i] = draw_some(parts_[i], {logits_.data() + begins[i] * vocabulary, rows * vocabulary});
      }
    });
  }
  // Keys and values of guesses that were wrong lie behind `read`, where the next step writes.
  for (size_t i = 0; i < parts_.size(); i++)
    parts_[i].sequence->read += std::max<int64_t>(0, int64_t(drawn[i].tokens.size()) - 1);
  if (module_) guess_ahead(hidden, drawn);
  for (size_t i = 0; i < parts_.size(); i++) {
    remember(*parts_[i].sequence);
    if (parts_[i].draws) take(parts_[i], std::move(drawn[i]), events);
  }
}

// The module's row at position i joins the state there with token i + 1: a step knows it for all its rows that count,
// the last ones' by now. Its guess is what comes behind that token. Where so many rows run that a guess would not be
// fed, the head is not asked.
void Engine::guess_ahead(const Tensor& hidden, std::span<const Drawn> drawn) {
  constexpr size_t kMostParts = 16;
  const double begin = monotonic_seconds();
  std::vector<int32_t> next;
  std::vector<Sequence*> guessing;
  rows_.clear();
  positions_.clear();
  owners_.clear();
  last_rows_.clear();
  for (size_t i = 0; i < parts_.size(); i++) {
    const Part& part = parts_[i];
    Sequence& sequence = *part.sequence;
    for (int64_t p = part.from; p < sequence.read && p + 1 < int64_t(sequence.ids.size()); p++) {
      rows_.push_back(int32_t(part.first + p - part.from));
      next.push_back(sequence.ids[size_t(p + 1)]);
      positions_.push_back(int32_t(p));
      owners_.push_back(int32_t(i));
    }
    // The last token needs no guess: it is drawn behind the one before it.
    const bool goes_on = part.draws && !drawn[i].tokens.empty() && !drawn[i].stopped && drawn[i].error.empty() &&
                         sequence.drawn() + 1 < sequence.request.max_new_tokens;
    if (!goes_on || parts_.size() > kMostParts) continue;
    guessing.push_back(&sequence);
    last_rows_.push_back(int32_t(rows_.size()) - 1);
  }
  if (rows_.empty()) return;
  Pass pass;
  pass.batch = make_step(model_.backend(), next, positions_, owners_, {tables_, table_width_});
  pass.cache = &cache_;
  pass.decode = true;
  const Tensor ahead = model_.mtp_hidden(gather_rows(hidden, rows_), pass.batch.ids, pass).value();
  if (!guessing.empty()) {
    read_logits(model_.logits(gather_rows(ahead, last_rows_)).value(), logits_);
    const ptrdiff_t vocabulary = model_.config().vocab_size;
    for (size_t i = 0; i < guessing.size(); i++) {
      const auto row = logits_.begin() + ptrdiff_t(i) * vocabulary;
      guessing[i]->module.take(int32_t(std::max_element(row, row + vocabulary) - row));
    }
  }
  statistics_.model_seconds += monotonic_seconds() - begin;
}

void Engine::take(const Part& part, Drawn drawn, std::vector<EngineEvent>& events) {
  using Kind = EngineEvent::Kind;
  Sequence& sequence = *part.sequence;
  const EngineRequest& request = sequence.request;
  const int64_t accepted = std::max<int64_t>(0, int64_t(drawn.tokens.size()) - 1);
  statistics_.new_tokens += int64_t(drawn.tokens.size());
  statistics_.drafts += part.drafts > 0;
  statistics_.draft_tokens += part.drafts;
  statistics_.accepted_tokens += accepted;
  for (int64_t i = 0; i < accepted; i++) statistics_.accepted_at[size_t(i)]++;
  if (!sequence.started && drawn.error.empty()) {
    sequence.started = true;
    events.push_back({.kind = Kind::kStarted,
                      .request = request.id,
                      .cached_tokens = sequence.cached,
                      .prompt = std::move(sequence.prompt)});
  }
  for (TokenReport& token : drawn.tokens)
    events.push_back({.kind = Kind::kToken, .request = request.id, .token = std::move(token)});
  if (!drawn.error.empty()) {
    events.push_back({.kind = Kind::kFailed, .request = request.id, .error = drawn.error});
  } else if (drawn.stopped) {
    events.push_back({.kind = Kind::kStopped, .request = request.id});
  } else if (sequence.drawn() >= request.max_new_tokens) {
    events.push_back({.kind = Kind::kLength, .request = request.id});
  } else {
    return;
  }
  end(part.sequence);
}

}  // namespace tenth
