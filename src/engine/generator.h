// Generation for a batch of many sequences: prompts are prefilled once and shared by their samples, then all running
// sequences advance together, one token a step (more with accepted drafts); a finished one's place goes to the next.
// Keys and values lie in blocks, which a sequence takes as it grows; samples of one prompt share its full ones.
// What a sequence gets depends on its prompt, parameters and seed only, never on what runs beside it.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/block_pool.h"
#include "engine/drafts.h"
#include "engine/sampler.h"
#include "nn/transformer.h"

namespace tenth {

struct GenerationRequest {
  std::vector<int32_t> prompt;  // at least one id
  SamplingParams sampling;
  int32_t max_new_tokens = 128;
  std::vector<int32_t> stop_ids;  // generation ends with one of these, which is kept as the last id
  int32_t samples = 1;
};

struct Completion {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;  // of each id under the model itself, nothing filtered (see logprob_temperature)
  bool stopped = false;         // by a stop id; false: cut at max_new_tokens
  // With record_routing: the experts of every token that was fed (the prompt, then all ids but the last), by position,
  // mixture and choice: (prompt + ids - 1) x mixtures x K.
  std::vector<int32_t> experts;
};

struct GenerationOptions {
  int64_t slots = 256;                   // sequences that run together
  CacheForm cache = CacheForm::kLatent;  // kExpanded: log-probabilities bit-equal to a training pass
  bool record_routing = false;
  double logprob_temperature = 1;  // Completion::logprobs are those of softmax(logits / this)
  // Speculation: drafts are checked in one step; the output is the same. A sequence takes its drafts from a lookup
  // where that finds some, else from the module.
  bool speculate = false;     // one draft, of the multi-token prediction module
  int32_t lookup_drafts = 0;  // as many, of what followed the last ids where they stood before (drafts.h)
};

struct GenerationStatistics {
  int64_t prompt_tokens = 0, new_tokens = 0, steps = 0, drafts = 0, accepted = 0;
};

class Generator {
 public:
  Generator(Transformer& model, const GenerationOptions& options);

  // Completions in the order of requests, the samples of a request together. on_token(request, sample, id) sees tokens
  // as they come and may return false to end that sequence. Throws kInput for an empty prompt, ids out of range, or a
  // request longer than the model's context.
  using OnToken = std::function<bool(size_t request, int32_t sample, int32_t id)>;
  std::vector<Completion> generate(std::span<const GenerationRequest> requests, const OnToken& on_token = {});

  const GenerationStatistics& statistics() const { return statistics_; }
  const ModelConfig& config() const { return model_.config(); }

 private:
  struct Sequence {
    size_t request = 0;
    int32_t sample = 0;
    Completion* out = nullptr;
    std::vector<int32_t> blocks;  // of the cache
    int32_t position = 0;         // of the token to feed next: out->ids.back()
    std::vector<int32_t> drafts;  // guesses for the tokens after it
    bool running = true;
  };
  struct Row {  // of a batch: whose it is and where it stands
    size_t sequence;
    int32_t position;
  };

  struct Prompts {
    std::vector<int32_t> ids, lengths, last_rows;
    std::vector<Row> places;  // of each id
  };

  void check(std::span<const GenerationRequest> requests) const;
  void reserve_cache(std::span<const GenerationRequest> requests);
  void admit();
  void add_sequence(size_t leader);  // a sample of the next request; leader: its first that is running, maybe this one
  Prompts prompts_of(std::span<const size_t> leaders) const;
  Tensor read_whole(std::span<const size_t> leaders, const Prompts& prompts);
  void read_ahead(std::span<const size_t> leaders, const Prompts& prompts, const Tensor& hidden);
  Tensor read_in_parts(std::span<const size_t> leaders, const Prompts& prompts);
  void prefill(std::span<const size_t> leaders);
  BlockTables tables(std::span<const size_t> sequences);  // valid until the next call
  BlockTables all_tables();
  void step();
  // Draws the next token of each row's sequence from logits (M, V). Where a sequence has more rows, the others stand
  // for its drafts: each counts only if the row before it counted and drew just that. kept_: the rows that counted.
  void draw(const Tensor& logits, std::span<const Row> rows);
  void record_routing(const Pass& pass, std::span<const Row> rows);
  // Runs the multi-token prediction module on every token that was kept: its state and the token drawn after it give
  // the draft of the one after that. hidden: the batch that kept_ indexes.
  void predict_drafts(const Tensor& hidden);
  void look_up_drafts();
  void make_drafts(const Tensor& hidden);
  bool drafting() const { return options_.speculate || options_.lookup_drafts > 0; }
  void retire();

  Transformer& model_;
  GenerationOptions options_;
  GenerationStatistics statistics_;
  KvCache cache_;
  BlockPool pool_{0};
  int64_t table_width_ = 0;              // blocks of the longest sequence
  std::vector<BlockPool::Copy> copies_;  // of prompts' last blocks, for the other samples
  std::span<const GenerationRequest> requests_;
  const OnToken* on_token_ = nullptr;
  std::vector<Completion> completions_;
  std::vector<size_t> first_completion_;  // of each request
  size_t next_request_ = 0;
  int32_t next_sample_ = 0;
  std::vector<Sequence> sequences_;
  // Scratch that is kept from step to step, so that decoding asks for no memory.
  std::vector<int32_t> ids_, positions_, owners_, chosen_, row_index_, next_, tables_, found_;
  std::vector<size_t> all_;
  std::vector<int32_t> experts_;
  std::vector<float> host_logits_, host_logprobs_;
  std::vector<Row> rows_, kept_;
  std::vector<size_t> kept_row_;  // row in the batch of each kept_
};

}  // namespace tenth
