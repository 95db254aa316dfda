// How the generator reads prompts: whole, or in parts.
#include <algorithm>

#include "engine/generator.h"
#include "engine/host_logits.h"

namespace tenth {
namespace {

constexpr size_t kPromptPart = 256;  // rows of a pass, where prompts are read in parts

}  // namespace

void Generator::prefill(std::span<const size_t> leaders) {
  const Prompts prompts = prompts_of(leaders);
  statistics_.prompt_tokens += int64_t(prompts.ids.size());
  // Where the cache holds what a pass over whole sequences would attend to, parts have the same bits; where it holds
  // that rounded, all tokens are to see it so. Over latent rows parts would cost more arithmetic, which is worth more
  // than the memory.
  const bool rows = options_.cache == CacheForm::kExpanded || !model_.config().mla();
  const bool rounded = model_.cache_type() != model_.compute_type();
  const bool parts = rows && !options_.speculate && (rounded || prompts.ids.size() > kPromptPart);
  const Tensor last = parts ? read_in_parts(leaders, prompts) : read_whole(leaders, prompts);
  for (const BlockPool::Copy& copy : copies_) copy_block(cache_, copy.to, copy.from);
  copies_.clear();
  rows_.clear();
  row_index_.clear();
  for (size_t i = 0; i < leaders.size(); i++) {
    const size_t leader = leaders[i], end = i + 1 < leaders.size() ? leaders[i + 1] : sequences_.size();
    for (size_t s = leader; s < end; s++) {
      if (s > leader) sequences_[s].out->experts = sequences_[leader].out->experts;
      rows_.push_back({s, prompts.lengths[i] - 1});
      row_index_.push_back(int32_t(i));
    }
  }
  const Tensor states = gather_rows(last, row_index_);
  draw(model_.logits(states).value(), rows_);
  make_drafts(states);
}

// The prompts' tokens, one prompt after another.
Generator::Prompts Generator::prompts_of(std::span<const size_t> leaders) const {
  Prompts prompts;
  for (size_t leader : leaders) {
    const std::vector<int32_t>& prompt = requests_[sequences_[leader].request].prompt;
    for (size_t i = 0; i < prompt.size(); i++) prompts.places.push_back({leader, int32_t(i)});
    prompts.ids.insert(prompts.ids.end(), prompt.begin(), prompt.end());
    prompts.lengths.push_back(int32_t(prompt.size()));
    prompts.last_rows.push_back(int32_t(prompts.ids.size()) - 1);
  }
  return prompts;
}

// All at once, each token attending to its own prompt's. -> states of the prompts' last tokens
Tensor Generator::read_whole(std::span<const size_t> leaders, const Prompts& prompts) {
  Pass pass;
  pass.batch = make_batch(model_.backend(), prompts.ids, prompts.lengths, tables(leaders));
  pass.cache = &cache_;
  pass.record_routing = options_.record_routing;
  const Tensor hidden = model_.hidden(pass).value();
  record_routing(pass, prompts.places);
  if (options_.speculate) read_ahead(leaders, prompts, hidden);
  return gather_rows(hidden, prompts.last_rows);
}

// The prediction module on all positions whose next token the prompt knows; the last one follows when it is drawn.
void Generator::read_ahead(std::span<const size_t> leaders, const Prompts& prompts, const Tensor& hidden) {
  std::vector<int32_t> rows, next, lengths;
  std::vector<size_t> theirs;
  for (size_t i = 0, at = 0; i < leaders.size(); at += size_t(prompts.lengths[i++])) {
    if (prompts.lengths[i] == 1) continue;
    for (size_t row = at; row + 1 < at + size_t(prompts.lengths[i]); row++) {
      rows.push_back(int32_t(row));
      next.push_back(prompts.ids[row + 1]);
    }
    lengths.push_back(prompts.lengths[i] - 1);
    theirs.push_back(leaders[i]);
  }
  if (rows.empty()) return;
  Pass pass;
  pass.batch = make_batch(model_.backend(), next, lengths, tables(theirs));
  pass.cache = &cache_;
  model_.mtp_hidden(gather_rows(hidden, rows), pass.batch.ids, pass);
}

// A part of the rows after another, each attending to what the cache holds of its prompt: memory for the activations of
// a part only.
Tensor Generator::read_in_parts(std::span<const size_t> leaders, const Prompts& prompts) {
  Backend& backend = model_.backend();
  const BlockTables all = tables(leaders);
  std::vector<int32_t> positions, owners;
  for (size_t i = 0; i < leaders.size(); i++)
    for (int32_t position = 0; position < prompts.lengths[i]; position++) {
      positions.push_back(position);
      owners.push_back(int32_t(i));
    }
  Tensor last;
  for (size_t begin = 0, prompt = 0; begin < prompts.ids.size(); begin += kPromptPart) {
    const size_t count = std::min(kPromptPart, prompts.ids.size() - begin);
    const auto part = [&](const std::vector<int32_t>& all_rows) { return std::span(all_rows).subspan(begin, count); };
    Pass pass;
    pass.batch = make_step(backend, part(prompts.ids), part(positions), part(owners), all);
    pass.cache = &cache_;
    pass.decode = true;
    pass.record_routing = options_.record_routing;
    const Tensor hidden = model_.hidden(pass).value();
    record_routing(pass, std::span(prompts.places).subspan(begin, count));
    if (!last) last = Tensor::make(backend, hidden.dtype(), {int64_t(leaders.size()), hidden.dim(1)});
    for (; prompt < leaders.size() && size_t(prompts.last_rows[prompt]) < begin + count; prompt++) {
      const int64_t row = prompts.last_rows[prompt] - int64_t(begin), to = int64_t(prompt);
      backend.copy(last.slice(0, to, to + 1), hidden.slice(0, row, row + 1));
    }
  }
  return last;
}

}  // namespace tenth
