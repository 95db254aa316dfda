#include "grammar/network.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

// Lists of one number each, by another: which states lead to a state, which calls name a rule.
class Index {
 public:
  template <class Items, class Key>
  Index(const Items& items, size_t keys, Key key) : begin_(keys + 1, 0), order_(items.size()) {
    for (const auto& item : items) begin_[key(item) + 1]++;
    for (size_t i = 0; i < keys; i++) begin_[i + 1] += begin_[i];
    std::vector<uint32_t> at(begin_.begin(), begin_.end() - 1);
    for (size_t i = 0; i < items.size(); i++) order_[at[key(items[i])]++] = uint32_t(i);
  }
  std::span<const uint32_t> of(size_t key) const {
    return {order_.data() + begin_[key], order_.data() + begin_[key + 1]};
  }

 private:
  std::vector<uint32_t> begin_, order_;
};

constexpr uint32_t kNoRule = UINT32_MAX;

}  // namespace

uint32_t NetworkBuilder::add_state(Network::State state) {
  require(network_.states.size() < kMaxNetworkStates, ErrorKind::kInput,
          "{}: the grammar is too large: expected at most {} states", where_, kMaxNetworkStates);
  network_.states.push_back(state);
  return uint32_t(network_.states.size() - 1);
}

uint32_t NetworkBuilder::add_state(Spelling spelling) {
  Network::State state;
  state.spelling = spelling;
  return add_state(state);
}

uint32_t NetworkBuilder::add_rule(std::string name) { return rule_from(add_state(), std::move(name)); }

uint32_t NetworkBuilder::rule_from(uint32_t start, std::string name) {
  Network::Rule rule;
  rule.start = start;
  rule.name = std::move(name);
  network_.rules.push_back(std::move(rule));
  return uint32_t(network_.rules.size() - 1);
}

void NetworkBuilder::edge(uint32_t from, char32_t low, char32_t high, uint32_t to) {
  edges_.push_back({from, {low, high, to}});
}

uint32_t NetworkBuilder::text(uint32_t from, std::string_view utf8) {
  for (size_t at = 0; at < utf8.size();) {
    const char32_t c = next_code_point(utf8, at);
    const uint32_t to = add_state();
    edge(from, c, c, to);
    from = to;
  }
  return from;
}

uint32_t NetworkBuilder::repeat_rule(uint32_t body, uint32_t min, uint32_t max, std::string name) {
  const uint32_t rule = add_rule(std::move(name));
  Network::State& state = network_.states[start(rule)];
  state.kind = Network::Kind::kRepeat;
  state.index = uint32_t(network_.counts.size());
  network_.counts.push_back({min, max, body});
  return rule;
}

uint32_t NetworkBuilder::counted_rule(std::span<const CharRange> ranges, uint32_t min, uint32_t max, Spelling spelling,
                                      std::string name) {
  const uint32_t rule = add_rule(std::move(name));
  Network::State& state = network_.states[start(rule)];
  state.kind = Network::Kind::kCounted;
  state.spelling = spelling;
  state.any_text = spelling == Spelling::kQuoted &&
                   std::equal(ranges.begin(), ranges.end(), std::begin(kAllChars), std::end(kAllChars));
  state.index = uint32_t(network_.counts.size());
  network_.counts.push_back({min, max, kNoRule});
  for (const CharRange& range : ranges) edge(start(rule), range.low, range.high, start(rule));
  return rule;
}

uint32_t NetworkBuilder::dfa_rule(const CharDfa& dfa, Spelling spelling, std::string name) {
  const uint32_t rule = add_rule(std::move(name));
  const uint32_t first = start(rule);
  network_.states[first].spelling = spelling;
  std::vector<uint32_t> ids = {first};
  while (ids.size() < dfa.states.size()) ids.push_back(add_state(spelling));
  for (size_t i = 0; i < dfa.states.size(); i++) {
    if (dfa.states[i].accepts) accept(ids[i]);
    for (const CharDfa::Edge& e : dfa.states[i].edges) edge(ids[i], e.low, e.high, ids[e.to]);
  }
  return rule;
}

uint32_t NetworkBuilder::counted_rule(const CharDfa& dfa, uint32_t min, uint32_t max, Spelling spelling,
                                      std::string name) {
  const uint32_t rule = dfa_rule(dfa, spelling, std::move(name)), first = start(rule);
  for (uint32_t i = first; i < network_.states.size(); i++) {
    network_.states[i].kind = Network::Kind::kCounted;
    network_.states[i].accepts = false;
    network_.states[i].index = uint32_t(network_.counts.size());
  }
  network_.counts.push_back({min, max, kNoRule});
  return rule;
}

uint32_t NetworkBuilder::members(uint32_t from, ObjectPlan plan, std::string_view comma) {
  const uint32_t end = plan.close = add_state();
  plan.comma = add_state();
  const uint32_t behind = text(plan.comma, comma);
  uint32_t next = 0;
  skip(from, object_state(std::move(plan), next));
  skip(behind, next);
  return end;
}

uint32_t NetworkBuilder::object_state(ObjectPlan plan, uint32_t& next) {
  Network::State state;
  state.index = uint32_t(network_.objects.size());
  state.kind = Network::Kind::kObjectFirst;
  const uint32_t first = add_state(state);
  state.kind = Network::Kind::kObjectNext;
  next = plan.next = add_state(state);
  state.kind = Network::Kind::kObjectAfter;
  for (size_t i = 0; i < plan.members.size(); i++) {
    const uint32_t after = add_state(state);
    if (i == 0) plan.after = after;
  }
  network_.objects.push_back(std::move(plan));
  return first;
}

uint32_t NetworkBuilder::include(const Network& other) {
  const auto size = [](const auto& list) { return uint32_t(list.size()); };
  const uint32_t states = size(network_.states), rules = size(network_.rules), counts = size(network_.counts),
                 objects = size(network_.objects);
  for (uint32_t i = 0; i + 1 < other.states.size(); i++) {
    Network::State state = other.states[i];
    const bool counted = state.kind == Network::Kind::kCounted || state.kind == Network::Kind::kRepeat;
    if (state.kind != Network::Kind::kPlain) state.index += counted ? counts : objects;
    add_state(state);
    for (const Network::Edge& e : other.edges_of(i)) edge(i + states, e.low, e.high, e.to + states);
    for (const Network::Call& c : other.calls_of(i)) call(i + states, c.rule + rules, c.to + states);
    for (uint32_t to : other.skips_of(i)) skip(i + states, to + states);
  }
  for (Network::Count count : other.counts) {
    if (count.rule != kNoRule) count.rule += rules;
    network_.counts.push_back(count);
  }
  for (ObjectPlan plan : other.objects) {
    for (uint32_t& member : plan.members) member += rules;
    for (uint32_t* state : {&plan.comma, &plan.close, &plan.after, &plan.next}) *state += states;
    network_.objects.push_back(std::move(plan));
  }
  for (Network::Rule rule : other.rules) {
    rule.start += states;
    network_.rules.push_back(std::move(rule));
  }
  return other.root + rules;
}

// A rule is nullable where its end is reached without a character; a call of such a rule may be left out.
void NetworkBuilder::find_nullable() {
  const size_t n = network_.states.size();
  const Index skips_to(skips_, n, [](const Skip& s) { return s.to; });
  const Index calls_to(calls_, n, [](const FromCall& c) { return c.call.to; });
  const Index calls_of(calls_, network_.rules.size(), [](const FromCall& c) { return c.call.rule; });
  std::vector<uint32_t> rule_of(n, kNoRule);
  for (uint32_t i = 0; i < network_.rules.size(); i++) rule_of[network_.rules[i].start] = i;
  std::vector<std::vector<uint32_t>> repeats(network_.rules.size());
  std::vector<bool> empty(n, false);
  std::vector<uint32_t> work;
  auto mark = [&](uint32_t state) {
    if (empty[state]) return;
    empty[state] = true;
    work.push_back(state);
  };
  for (uint32_t i = 0; i < n; i++) {
    const Network::State& state = network_.states[i];
    if (state.accepts) mark(i);
    if (state.kind != Network::Kind::kCounted && state.kind != Network::Kind::kRepeat) continue;
    const Network::Count& count = network_.counts[state.index];
    if (count.min == 0) mark(i);
    if (state.kind == Network::Kind::kRepeat) repeats[count.rule].push_back(i);
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (uint32_t s : skips_to.of(state)) mark(skips_[s].from);
    for (uint32_t c : calls_to.of(state))
      if (empty[start(calls_[c].call.rule)]) mark(calls_[c].from);
    if (rule_of[state] == kNoRule) continue;
    for (uint32_t c : calls_of.of(rule_of[state]))
      if (empty[calls_[c].call.to]) mark(calls_[c].from);
    for (uint32_t r : repeats[rule_of[state]]) mark(r);
  }
  for (Network::Rule& rule : network_.rules) rule.nullable = empty[rule.start];
  for (const FromCall& c : calls_)
    if (network_.rules[c.call.rule].nullable) skip(c.from, c.call.to);
}

// The rules that each rule may call before any character.
std::vector<std::vector<uint32_t>> NetworkBuilder::first_calls() const {
  const size_t n = network_.states.size();
  const Index skips_from(skips_, n, [](const Skip& s) { return s.from; });
  const Index calls_from(calls_, n, [](const FromCall& c) { return c.from; });
  std::vector<std::vector<uint32_t>> result(network_.rules.size());
  std::vector<uint32_t> seen(n, kNoRule);
  for (uint32_t r = 0; r < network_.rules.size(); r++) {
    std::vector<uint32_t> work = {start(r)};
    while (!work.empty()) {
      const uint32_t at = work.back();
      work.pop_back();
      if (seen[at] == r) continue;
      seen[at] = r;
      const Network::State& state = network_.states[at];
      for (uint32_t s : skips_from.of(at)) work.push_back(skips_[s].to);
      for (uint32_t c : calls_from.of(at)) result[r].push_back(calls_[c].call.rule);
      if (state.kind == Network::Kind::kRepeat) result[r].push_back(network_.counts[state.index].rule);
      if (state.kind == Network::Kind::kObjectFirst) {
        const auto& members = network_.objects[state.index].members;
        result[r].insert(result[r].end(), members.begin(), members.end());
      }
    }
  }
  return result;
}

// Orders the rules so that who calls before any character stands before whom it calls; a circle is left recursion.
void NetworkBuilder::rank_rules() {
  const std::vector<std::vector<uint32_t>> next = first_calls();
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> mark(next.size(), kNew);
  std::vector<std::pair<uint32_t, size_t>> path;
  uint32_t rank = uint32_t(next.size());
  for (uint32_t r = 0; r < next.size(); r++) {
    if (mark[r] != kNew) continue;
    mark[r] = kOpen;
    path.emplace_back(r, 0);
    while (!path.empty()) {
      auto& [rule, at] = path.back();
      if (at == next[rule].size()) {
        mark[rule] = kDone;
        network_.rules[rule].rank = --rank;
        path.pop_back();
        continue;
      }
      const uint32_t called = next[rule][at++];
      require(mark[called] != kOpen, ErrorKind::kInput,
              "{}: {} calls itself before any character (left recursion): turn the rule around", where_,
              network_.rules[called].name);
      if (mark[called] != kNew) continue;
      mark[called] = kOpen;
      path.emplace_back(called, 0);
    }
  }
}

// height(s) = the least stack of calls with which a rule can be ended from state s: least over its ways on, most over
// the parts of a way. Found in rising order (Knuth's generalisation of Dijkstra), with a bucket a height.
void NetworkBuilder::find_heights() {
  const size_t n = network_.states.size();
  const Index edges_to(edges_, n, [](const FromEdge& e) { return e.edge.to; });
  const Index skips_to(skips_, n, [](const Skip& s) { return s.to; });
  const Index calls_to(calls_, n, [](const FromCall& c) { return c.call.to; });
  const Index calls_of(calls_, network_.rules.size(), [](const FromCall& c) { return c.call.rule; });
  std::vector<uint32_t> rule_of(n, kNoRule);
  for (uint32_t i = 0; i < network_.rules.size(); i++) rule_of[network_.rules[i].start] = i;
  std::vector<std::vector<uint32_t>> repeats(network_.rules.size());
  struct Membership {
    uint32_t object, member;
  };
  std::vector<std::vector<Membership>> memberships(network_.rules.size());
  struct Progress {
    uint32_t first = 0, missing = 0, ready = 0;
    bool done = false;
  };
  std::vector<Progress> progress(network_.objects.size());
  std::vector<std::vector<uint32_t>> bucket(kMaxStackDepth + 1);
  auto put = [&](uint32_t state, uint32_t height) {
    if (height <= kMaxStackDepth && network_.states[state].height == kUnlimited) bucket[height].push_back(state);
  };
  for (Network::State& state : network_.states) state.height = kUnlimited;
  for (uint32_t i = 0; i < network_.objects.size(); i++) {
    const ObjectPlan& plan = network_.objects[i];
    progress[i].missing = uint32_t(std::count(plan.required.begin(), plan.required.end(), true));
    for (uint32_t m = 0; m < plan.members.size(); m++) memberships[plan.members[m]].push_back({i, m});
  }
  auto settle = [&](uint32_t object, uint32_t height) {
    const ObjectPlan& plan = network_.objects[object];
    Progress& p = progress[object];
    if (p.done || p.missing > 0 || p.ready < plan.min) return;
    p.done = true;
    put(p.first, height);
    put(plan.next, height);
    for (uint32_t m = 0; m < plan.members.size(); m++) put(plan.after + m, height);
  };
  for (uint32_t i = 0; i < n; i++) {
    const Network::State& state = network_.states[i];
    if (state.accepts) put(i, 0);
    if (state.kind == Network::Kind::kObjectFirst) {
      progress[state.index].first = i;
      settle(state.index, 0);
    }
    if (state.kind != Network::Kind::kCounted && state.kind != Network::Kind::kRepeat) continue;
    const Network::Count& count = network_.counts[state.index];
    const bool repeat = state.kind == Network::Kind::kRepeat;
    if (!repeat || count.min == 0 || network_.rules[count.rule].nullable) put(i, 0);
    if (repeat) repeats[count.rule].push_back(i);
  }
  for (uint32_t height = 0; height <= kMaxStackDepth; height++) {
    for (size_t k = 0; k < bucket[height].size(); k++) {
      const uint32_t state = bucket[height][k];
      if (network_.states[state].height != kUnlimited) continue;
      network_.states[state].height = height;
      for (uint32_t e : edges_to.of(state)) put(edges_[e].from, height);
      for (uint32_t s : skips_to.of(state)) put(skips_[s].from, height);
      auto put_call = [&](const FromCall& c) {
        const uint32_t inner = network_.states[start(c.call.rule)].height, outer = network_.states[c.call.to].height;
        if (inner != kUnlimited && outer != kUnlimited) put(c.from, std::max(inner + 1, outer));
      };
      for (uint32_t c : calls_to.of(state)) put_call(calls_[c]);
      if (rule_of[state] == kNoRule) continue;
      for (uint32_t c : calls_of.of(rule_of[state])) put_call(calls_[c]);
      for (uint32_t r : repeats[rule_of[state]]) put(r, height + 1);
      for (const Membership& m : memberships[rule_of[state]]) {
        const ObjectPlan& plan = network_.objects[m.object];
        progress[m.object].ready++;
        if (m.member < plan.declared && plan.required[m.member]) progress[m.object].missing--;
        settle(m.object, height + 1);
      }
    }
  }
}

// Lists by state, without what leads to states that can never end.
Network NetworkBuilder::lay_out(uint32_t root) {
  Network made;
  made.root = root;
  made.counts = std::move(network_.counts);
  made.objects = std::move(network_.objects);
  made.rules = std::move(network_.rules);
  const size_t n = network_.states.size();
  const Index edges_from(edges_, n, [](const FromEdge& e) { return e.from; });
  const Index calls_from(calls_, n, [](const FromCall& c) { return c.from; });
  const Index skips_from(skips_, n, [](const Skip& s) { return s.from; });
  auto dead = [&](uint32_t state) { return network_.states[state].height == kUnlimited; };
  auto ends_only = [&](uint32_t state) {
    const Network::State& s = network_.states[state];
    return s.kind == Network::Kind::kPlain && s.accepts && edges_from.of(state).empty() &&
           calls_from.of(state).empty() && skips_from.of(state).empty();
  };
  for (uint32_t i = 0; i < n; i++) {
    Network::State state = network_.states[i];
    state.edges = uint32_t(made.edges.size());
    state.calls = uint32_t(made.calls.size());
    state.skips = uint32_t(made.skips.size());
    made.states.push_back(state);
    for (uint32_t e : edges_from.of(i))
      if (!dead(edges_[e].edge.to)) made.edges.push_back(edges_[e].edge);
    for (uint32_t c : calls_from.of(i)) {
      Network::Call call = calls_[c].call;
      if (dead(call.to) || dead(made.rules[call.rule].start)) continue;
      call.tail = ends_only(call.to);
      made.calls.push_back(call);
    }
    for (uint32_t s : skips_from.of(i))
      if (!dead(skips_[s].to)) made.skips.push_back(skips_[s].to);
  }
  made.states.emplace_back();
  Network::State& sentinel = made.states.back();
  sentinel.edges = uint32_t(made.edges.size());
  sentinel.calls = uint32_t(made.calls.size());
  sentinel.skips = uint32_t(made.skips.size());
  for (uint32_t i = 0; i < n; i++) {
    Network::State& state = made.states[i];
    if (state.kind != Network::Kind::kPlain || state.spelling != Spelling::kQuoted) continue;
    const auto out = made.edges_of(i);
    state.any_text = state.accepts && std::equal(out.begin(), out.end(), std::begin(kAllChars), std::end(kAllChars),
                                                 [&](const Network::Edge& e, const CharRange& r) {
                                                   return e.low == r.low && e.high == r.high && e.to == i;
                                                 });
  }
  for (uint32_t i = 0; i < n; i++) {
    Network::State& state = made.states[i];
    const auto out = made.edges_of(i);
    state.near_text = state.kind == Network::Kind::kPlain && !state.any_text &&
                      std::any_of(out.begin(), out.end(), [&](const Network::Edge& e) {
                        return e.high - e.low > 0x4000 && made.states[e.to].any_text &&
                               made.states[e.to].kind == Network::Kind::kPlain;
                      });
  }
  return made;
}

Network NetworkBuilder::finish(uint32_t root) {
  find_nullable();
  rank_rules();
  find_heights();
  require(network_.states[start(root)].height != kUnlimited, ErrorKind::kInput,
          "{}: no text can satisfy the grammar (or only ones nested more than {} deep)", where_, kMaxStackDepth);
  return lay_out(root);
}

}  // namespace tenth
