// Structured output: what a model may write next. A grammar (GBNF text, or a JSON Schema) is compiled once; bound to
// the tokens of a tokenizer it gives, before each token, the mask of those that keep the text within the grammar.
//   auto vocabulary = std::make_shared<const GrammarVocabulary>(bytes_of_tokens, end_ids);
//   auto masks = std::make_shared<GrammarMasks>(Grammar::from_json_schema(schema, "response_format", order),
//   vocabulary); GrammarMatcher matcher(masks);                       // one a sequence matcher.fill_mask(bits); ...
//   matcher.accept(id);     // false from fill_mask: nothing may follow (a dead end)
// The grammar is over bytes: tokens may split characters and span any number of symbols. Which texts are accepted does
// not depend on the tokenizer.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ordered_json.h"
#include "grammar/vocabulary.h"

namespace tenth {

class Network;
class ItemSets;
struct Item;
struct ParameterSyntax;

// In which order the members of an object come. As OpenAI's strict mode: as the schema lists them, those that are not
// required may be left out, and behind them those that only additionalProperties or patternProperties allow. Or any.
enum class MemberOrder { kAsListed, kAny };

// Compiled, immutable, cheap to copy.
class Grammar {
 public:
  // Throw kInput or kUnsupported, one line, beginning with where (gbnf.h, json_schema.h).
  static Grammar from_gbnf(std::string_view text, const std::string& where, const GrammarVocabulary* marks = nullptr);
  static Grammar from_json_schema(const OrderedJson& schema, const std::string& where, MemberOrder order);
  static Grammar json_object();  // any JSON object
  // The members of a JSON object, one a line, as DSML has them (json_schema.h).
  static Grammar from_parameters(const OrderedJson& schema, const std::string& where, MemberOrder order,
                                 const ParameterSyntax& syntax);
  // One item, or several with `between` them, within one of `before` and `after`. An item: its own before, a grammar,
  // its own after. For calls of tools. Texts are spelled (GrammarVocabulary::spelled).
  struct Item;
  static Grammar list(const std::vector<std::string>& before, const std::vector<Item>& items,
                      const std::string& between, const std::string& after, bool several);

  const std::shared_ptr<const Network>& network() const { return network_; }
  bool accepts(std::string_view text) const;  // the whole text; for tests and tools

 private:
  explicit Grammar(Network network);
  std::shared_ptr<const Network> network_;
};

struct Grammar::Item {
  std::string before;
  Grammar grammar;
  std::string after;
};

// A grammar over the tokens of one vocabulary, with the masks and steps found so far: share it between all sequences
// with the same grammar. Thread-safe. Memory is bounded (about 128 MB of steps and 16 MB of masks at worst; a few MB as
// a rule).
class GrammarMasks {
 public:
  GrammarMasks(Grammar grammar, std::shared_ptr<const GrammarVocabulary> vocabulary);
  ~GrammarMasks();
  const GrammarVocabulary& vocabulary() const { return *vocabulary_; }
  size_t masks_found() const;  // how often a mask was computed rather than looked up
  size_t bytes() const;

 private:
  friend class GrammarMatcher;
  // A number of a set in the sets of one time; sets that grew too large are replaced, matchers take theirs along.
  struct Sets;
  const std::vector<uint32_t>& mask_of(Sets& sets, uint32_t set);
  void walk(ItemSets& sets, uint32_t set, size_t begin, size_t end, size_t depth, std::vector<uint32_t>& mask);
  void walk_near_text(ItemSets& sets, const Item& item, std::vector<uint32_t>& mask);
  void walk_quotes(ItemSets& sets, uint32_t quoted, size_t begin, size_t end, uint64_t least, uint64_t most,
                   std::vector<uint32_t>& mask);
  std::vector<uint32_t> find_mask(ItemSets& sets, uint32_t set);

  Grammar grammar_;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  mutable std::mutex mutex_;
  std::shared_ptr<Sets> sets_;
  std::vector<uint32_t> path_;  // of a walk
  size_t masks_found_ = 0;
};

// Where one sequence stands. Copies are forks. Not thread-safe; matchers of one GrammarMasks may be used by many
// threads.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<GrammarMasks> masks);

  // Takes a token. False, with nothing changed, where the grammar does not allow it; ids out of range are not allowed.
  // Throws kInput where the grammar is too ambiguous to be followed (the work a token is bounded).
  bool accept(int32_t id);
  // mask_words() words; bit id % 32 of word id / 32 says that the token may follow; bits from size() on are 0. False
  // where none may: a dead end (no token spells what must come) or behind an end token. Throws as accept does.
  bool fill_mask(std::span<uint32_t> bits) const;
  bool complete() const;                       // the text may end here
  bool finished() const { return finished_; }  // an end token was taken
  // Takes back the last tokens, for drafts that were refused; at most kMaxRollback of them.
  void rollback(size_t tokens);
  static constexpr size_t kMaxRollback = 64;

 private:
  void renew() const;

  std::shared_ptr<GrammarMasks> masks_;
  mutable std::shared_ptr<GrammarMasks::Sets> sets_;
  mutable uint32_t now_;
  mutable std::vector<uint32_t> before_;  // the last sets, oldest first
  bool finished_ = false;
};

}  // namespace tenth
