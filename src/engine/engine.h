// Continuous batching: requests come and go while others run. Each step feeds one token of every running sequence and,
// beside them, the next part of the prompts that are not read yet (Orca, OSDI 2022; Sarathi, arXiv 2308.16369): a long
// prompt delays nobody by more than its part. A prompt that begins as an earlier one did finds its keys and values in
// the cache (prefix_cache.h). Where the cache is full, the youngest sequence gives its blocks back and is read again
// later.
//
// A sequence may feed guesses of its next tokens (drafts.h) beside its last one. Each is a row of the step like any
// other; what is drawn behind it counts where the draw before it was just that guess, so that nothing but the number of
// steps depends on guesses. They are fed where their chance is worth the row: see plan_drafts.
//
// What a request gets depends on it alone, to the bit: not on what runs beside it, nor on how its prompt was cut, nor
// on what the cache held, nor on guesses. All tokens, of prompts too, attend to the cache in one and the same way.
#pragma once
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/block_pool.h"
#include "engine/disk_prefixes.h"
#include "engine/drafts.h"
#include "engine/logit_rules.h"
#include "engine/prefix_cache.h"
#include "engine/sampler.h"
#include "grammar/grammar.h"
#include "nn/transformer.h"

namespace tenth {

// Thought, between two tokens of the model: a budget ends it, a grammar holds behind it only.
struct Thinking {
  int32_t begin = -1, end = -1;  // the tokens <think> and </think>; -1: the model has none
  bool open = false;             // the prompt ends within a thought
  int32_t budget = -1;           // tokens of thought, before `end` is put in; -1: no bound
};

struct EngineRequest {
  uint64_t id = 0;              // the caller's, unique
  std::vector<int32_t> prompt;  // at least one id
  SamplingParams sampling;
  LogitRules rules;
  Thinking thinking;
  std::shared_ptr<GrammarMasks> grammar;  // of the answer; null: none
  uint64_t sample = 0;                    // of several draws from one prompt: names the random numbers, with the seed
  int32_t max_new_tokens = 128;
  std::vector<int32_t> stop_ids;  // generation ends with one of these
  int32_t top_logprobs = -1;      // likeliest tokens to report beside each; -1: not even its own log-probability
  bool prompt_logprobs = false;   // report those of the prompt too; it is read whole then, whatever the cache holds
};

struct TokenLogprob {
  int32_t id = -1;
  float logprob = 0;
};
struct TokenReport {
  int32_t id = -1;
  float logprob = 0;  // under the model itself, nothing filtered; of a prompt's first token: 0
  std::vector<TokenLogprob> top;
};

struct EngineEvent {
  enum class Kind {
    kStarted,  // the prompt is read: cached_tokens, and with prompt_logprobs, prompt
    kToken,    // token
    kStopped,  // by a stop id, the last token
    kLength,   // at max_new_tokens
    kFailed,   // error
  };
  Kind kind;
  uint64_t request;
  TokenReport token = {};
  int64_t cached_tokens = 0;
  std::vector<TokenReport> prompt = {};
  std::string error = {};
};

struct EngineOptions {
  int64_t max_sequences = 8;    // that run together
  int64_t cache_tokens = 0;     // that the cache holds; 0: max_sequences contexts, 65,536 or half of free memory
  int64_t step_tokens = 128;    // of prompts, in one step beside the running sequences
  int32_t lookup_drafts = 8;    // guesses of a sequence in one step, at most
  bool module_drafts = false;   // or one, of the model's multi-token prediction module, the surer of the two
  DiskPrefixOptions disk = {};  // where beginnings outlive the process
};

struct EngineStatistics {
  int64_t running = 0, waiting = 0, steps = 0, prompt_tokens = 0, cached_tokens = 0, new_tokens = 0, preemptions = 0,
          blocks = 0, blocks_in_use = 0, blocks_of_prefixes = 0, last_batch = 0, restored_blocks = 0;
  // Steps of sequences that had drafts; the drafts; those that were right, in all and by their place.
  int64_t drafts = 0, draft_tokens = 0, accepted_tokens = 0;
  std::vector<int64_t> accepted_at;
  double step_seconds = 0, model_seconds = 0;  // of all steps; of the model's part in them
};

class Engine {
 public:
  // Throws kInput for a cache that does not fit into free memory; as DiskBlocks.
  Engine(Transformer& model, const EngineOptions& options);

  // Throws kInput for what can never run: ids out of range, more tokens than the model's context or the cache holds.
  void check(const EngineRequest& request) const;
  // A checked request.
  void add(EngineRequest request);
  // Forgets a request, running or not, without an event.
  void cancel(uint64_t id);

  bool idle() const { return running_.empty() && waiting_.empty(); }
  // One pass of the model. Appends what happened. Must not be called when idle.
  void step(std::vector<EngineEvent>& events);
  // After step() threw: ends all requests with the error.
  void fail_all(const std::string& error, std::vector<EngineEvent>& events);

  const EngineStatistics& statistics() const { return statistics_; }
  const ModelConfig& config() const { return model_.config(); }
  int64_t cache_tokens() const { return pool_.blocks() * kCacheBlock; }
  int64_t cache_bytes() const;
  DiskPrefixes* disk() const { return disk_.get(); }  // null: none

 private:
  struct Sequence {
    EngineRequest request;
    std::vector<int32_t> ids;  // prompt and what was drawn
    int64_t read = 0;          // of them, those whose keys and values are in the cache
    std::vector<int32_t> blocks;
    PrefixCache::Node node = 0;  // of the full blocks that the prefix cache knows
    int64_t known = 0;           // how many those are
    DiskPrefixes::Chain disk;    // the same on disk
    int64_t cached = 0;          // tokens that were found in the cache
    bool started = false;        // kStarted was sent
    bool thinks = false;         // is within a thought
    int32_t thought = 0;         // tokens of it
    Guesses lookup, module;      // guesses of what follows ids
    std::optional<GrammarMatcher> matcher;
    std::vector<TokenReport> prompt;
    int64_t drawn() const { return int64_t(ids.size() - request.prompt.size()); }
  };
  using Place = std::list<Sequence>::iterator;
  struct Part {  // of a batch: rows [first, first + rows) are tokens of this sequence, the last ones its guesses
    Place sequence;
    int64_t first, rows, drafts;
    const Guesses* guesses = nullptr;  // that drafts are the first of
    int64_t from = 0;                  // the position of its first row
    bool draws = false;                // its next token, behind all that is known
  };

  struct Drawn {
    std::vector<TokenReport> tokens;
    bool stopped = false;
    std::string error;
  };

  void admit();
  void begin(Sequence& sequence);  // finds its prefix
  void restore();                  // from disk
  void plan();                     // fills parts_
  void plan_drafts();
  // Blocks for so many positions; false: the sequence itself had to give way.
  bool make_room(Place sequence, int64_t positions);
  void give_way(Place sequence);  // back to the waiting ones
  void end(Place sequence);
  Tensor run();  // the model over parts_: its last hidden states (N, D)
  void remember(Sequence& sequence);
  void report_prompts(const Tensor& hidden);
  // Runs the module over the rows that count, each with the token that follows it, and takes its guesses.
  void guess_ahead(const Tensor& hidden, std::span<const Drawn> drawn);
  void draw(const Tensor& hidden, std::vector<EngineEvent>& events);
  // The next token of a sequence; its logits are used up. Throws where there can be none.
  static TokenReport draw_one(Sequence& sequence, std::span<float> logits);
  // As many as the part's guesses allow, appended to the sequence. logits: of its row before the guesses and of theirs.
  Drawn draw_some(const Part& part, std::span<float> logits) const;
  void take(const Part& part, Drawn drawn, std::vector<EngineEvent>& events);

  Transformer& model_;
  EngineOptions options_;
  const bool module_;
  KvCache cache_;
  BlockPool pool_;
  PrefixCache prefixes_;
  std::unique_ptr<DiskPrefixes> disk_;
  int64_t table_width_;
  std::list<Sequence> running_;  // in the order in which they came
  std::deque<Sequence> waiting_;
  EngineStatistics statistics_;
  // Scratch, kept from step to step.
  std::vector<Part> parts_;
  std::vector<int32_t> ids_, positions_, owners_, tables_, rows_, last_rows_;
  std::vector<float> logits_;
};

}  // namespace tenth
