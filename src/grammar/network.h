// A compiled grammar: a recursive transition network. A rule is a small automaton whose edges read characters or call
// other rules; what GBNF, JSON Schema and patterns become. Two things that would cost states are counted instead: how
// often a body was repeated, and which members an object has.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "grammar/char_reader.h"

namespace tenth {

constexpr uint32_t kUnlimited = UINT32_MAX;

// The members of one object; a state of the network keeps the set of those seen.
struct ObjectPlan {
  std::vector<uint32_t> members;       // rules: "key" : value. The declared ones, then those of keys by pattern
  uint32_t declared = 0;               // how many of them may come once only; the others as often as one likes
  std::vector<bool> required;          // [declared]
  uint32_t min = 0, max = kUnlimited;  // members; min only with declared ones alone (checked by who makes it)
  bool ordered = true;                 // members come in the order in which they stand here
  uint32_t comma = 0, close = 0;       // states before a comma and before the closing brace
  uint32_t after = 0;                  // + i: the state behind member i
  uint32_t next = 0;                   // the state behind a comma
};

class Network {
 public:
  enum class Kind : uint8_t {
    kPlain,        // edges, calls, skips
    kCounted,      // edges to itself, `count` bounds how many are taken; then the rule ends
    kRepeat,       // calls rule `count`.rule again and again; then the rule ends
    kObjectFirst,  // behind {: a member or the close state
    kObjectNext,   // behind a comma: a member
    kObjectAfter,  // behind a member: the comma or the close state
  };
  struct Edge {
    char32_t low, high;
    uint32_t to;
  };
  struct Call {
    uint32_t rule, to;
    bool tail;  // nothing comes behind it
  };
  struct Count {
    uint32_t min, max, rule;
  };
  struct State {
    Kind kind = Kind::kPlain;
    Spelling spelling = Spelling::kPlain;
    bool accepts = false;    // the rule may end here
    bool any_text = false;   // the inside of a free string: every character leads back here, and it may end
    bool near_text = false;  // the inside of a string that is free behind most characters (a key that is not declared)
    uint32_t index = 0;      // of its Count or ObjectPlan
    uint32_t height = 0;  // of the least stack of calls that an end of the rule needs from here; kUnlimited: none does
    uint32_t edges = 0, calls = 0, skips = 0;  // beginnings of its lists; the next state's are the ends
  };

  uint32_t root = 0;
  std::vector<State> states;  // the last is a sentinel
  std::vector<Edge> edges;
  std::vector<Call> calls;
  std::vector<uint32_t> skips;
  std::vector<Count> counts;
  std::vector<ObjectPlan> objects;
  struct Rule {
    uint32_t start = 0;
    uint32_t rank = 0;  // rules that a rule may call before any character have a higher one
    bool nullable = false;
    std::string name;
  };
  std::vector<Rule> rules;

  std::span<const Edge> edges_of(uint32_t state) const {
    return {edges.data() + states[state].edges, edges.data() + states[state + 1].edges};
  }
  std::span<const Call> calls_of(uint32_t state) const {
    return {calls.data() + states[state].calls, calls.data() + states[state + 1].calls};
  }
  std::span<const uint32_t> skips_of(uint32_t state) const {
    return {skips.data() + states[state].skips, skips.data() + states[state + 1].skips};
  }
};

constexpr size_t kMaxNetworkStates = 1'000'000;
constexpr uint32_t kMaxStackDepth = 160;  // calls within calls; about half as many levels of JSON

class NetworkBuilder {
 public:
  explicit NetworkBuilder(std::string where) : where_(std::move(where)) {}

  uint32_t add_rule(std::string name);  // with a start state
  uint32_t rule_from(uint32_t start, std::string name);
  uint32_t start(uint32_t rule) const { return network_.rules[rule].start; }
  uint32_t add_state(Spelling spelling = Spelling::kPlain);
  void edge(uint32_t from, char32_t low, char32_t high, uint32_t to);
  void call(uint32_t from, uint32_t rule, uint32_t to) { calls_.push_back({from, {rule, to, false}}); }
  void skip(uint32_t from, uint32_t to) { skips_.push_back({from, to}); }
  void accept(uint32_t state) { network_.states[state].accepts = true; }

  // The text, behind it the state that is given back.
  uint32_t text(uint32_t from, std::string_view utf8);
  // A rule of min..max times the body; of min..max characters out of ranges.
  uint32_t repeat_rule(uint32_t body, uint32_t min, uint32_t max, std::string name);
  uint32_t counted_rule(std::span<const CharRange> ranges, uint32_t min, uint32_t max, Spelling spelling,
                        std::string name);
  uint32_t dfa_rule(const CharDfa& dfa, Spelling spelling, std::string name);
  // Of min..max characters that the automaton takes; all its states must accept.
  uint32_t counted_rule(const CharDfa& dfa, uint32_t min, uint32_t max, Spelling spelling, std::string name);
  // The members of an object from a state: `comma` between them; gives the state behind. plan's states are set here.
  uint32_t members(uint32_t from, ObjectPlan plan, std::string_view comma);
  // Takes over another network whole. Its root is the rule that is given back.
  uint32_t include(const Network& other);
  // The states behind the brace of an object (the result) and behind a comma (next). plan's comma and close are set by
  // the caller, the others here.
  uint32_t object_state(ObjectPlan plan, uint32_t& next);

  // Checks and lays it out. Throws kInput where the root can never end, for left recursion (which rule calls itself
  // before any character), for too many states.
  Network finish(uint32_t root);

 private:
  uint32_t add_state(Network::State state);
  void find_nullable();
  void rank_rules();
  void find_heights();
  Network lay_out(uint32_t root);
  std::vector<std::vector<uint32_t>> first_calls() const;

  std::string where_;
  Network network_;
  struct FromEdge {
    uint32_t from;
    Network::Edge edge;
  };
  struct FromCall {
    uint32_t from;
    Network::Call call;
  };
  struct Skip {
    uint32_t from, to;
  };
  std::vector<FromEdge> edges_;
  std::vector<FromCall> calls_;
  std::vector<Skip> skips_;
};

}  // namespace tenth
