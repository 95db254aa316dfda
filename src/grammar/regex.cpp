#include "grammar/regex.h"

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

// Anchors become characters beyond Unicode: a text w is matched as begins, w, ends (as many marks as one likes), "any"
// runs over the marks too, ^ reads the one and $ the other. So they work in every branch and group.
constexpr char32_t kBegin = kLastCodePoint + 1, kEnd = kLastCodePoint + 2;
constexpr size_t kMaxNfaStates = 40000;
constexpr size_t kMaxWork = 20'000'000;  // of the subset construction: edges looked at
constexpr int kMaxDepth = 100;
constexpr uint32_t kUnbounded = UINT32_MAX;

struct Node {
  enum class Kind { kChars, kSequence, kChoice, kRepeat } kind;
  std::vector<CharRange> chars;
  std::vector<std::unique_ptr<Node>> parts;
  uint32_t min = 0, max = 0;
};
using NodePtr = std::unique_ptr<Node>;

NodePtr make(Node::Kind kind) {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  return node;
}
NodePtr chars_node(std::vector<CharRange> chars) {
  NodePtr node = make(Node::Kind::kChars);
  node->chars = std::move(chars);
  return node;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : where_(where) {
    require(well_formed_prefix(text) == text.size(), ErrorKind::kInput, "{}: pattern is not well-formed UTF-8", where);
    for (size_t at = 0; at < text.size();) text_.push_back(next_code_point(text, at));
  }

  NodePtr parse() {
    NodePtr node = choice(0);
    if (at_ < text_.size()) broken("a ) without its (");
    return node;
  }

 private:
  [[noreturn]] void broken(std::string_view what) {
    fail(ErrorKind::kInput, "{}: pattern is broken at character {}: {}", where_, at_ + 1, what);
  }
  [[noreturn]] void unsupported(std::string_view what) {
    fail(ErrorKind::kUnsupported, "{}: pattern uses {} at character {}, which is not supported", where_, what, at_ + 1);
  }
  bool more() const { return at_ < text_.size(); }
  bool next_is(char32_t c) const { return more() && text_[at_] == c; }
  bool take(char32_t c) {
    if (!next_is(c)) return false;
    at_++;
    return true;
  }

  NodePtr choice(int depth) {
    require(depth <= kMaxDepth, ErrorKind::kInput, "{}: pattern: expected groups nested at most {} deep", where_,
            kMaxDepth);
    NodePtr node = make(Node::Kind::kChoice);
    do node->parts.push_back(sequence(depth));
    while (take('|'));
    return node;
  }

  NodePtr sequence(int depth) {
    NodePtr node = make(Node::Kind::kSequence);
    while (more() && !next_is('|') && !next_is(')')) node->parts.push_back(repeated(atom(depth)));
    return node;
  }

  NodePtr atom(int depth) {
    const char32_t c = text_[at_++];
    switch (c) {
      case '^': return chars_node({{kBegin, kBegin}});
      case '$': return chars_node({{kEnd, kEnd}});
      case '.': return chars_node(normal_ranges({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}, true));
      case '(': return group(depth);
      case '[': return chars_node(char_class());
      case '\\': return chars_node(escape(false));
      case '*':
      case '+':
      case '?': at_--; broken("nothing to repeat");
      default: return chars_node({{c, c}});
    }
  }

  NodePtr group(int depth) {
    if (take('?')) {
      if (take('<')) {
        if (next_is('=') || next_is('!')) unsupported("look-behind");
        while (more() && !next_is('>')) at_++;
        if (!take('>')) broken("the name of a group without its >");
      } else if (!take(':')) {
        if (next_is('=') || next_is('!')) unsupported("look-ahead");
        unsupported("a group with flags");
      }
    }
    NodePtr node = choice(depth + 1);
    if (!take(')')) broken("a ( without its )");
    return node;
  }

  uint32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; i++) {
      if (!more()) broken("too few hexadecimal digits");
      const char32_t c = text_[at_++];
      if (c >= '0' && c <= '9')
        value = value * 16 + (c - '0');
      else if ((c | 32) >= 'a' && (c | 32) <= 'f')
        value = value * 16 + ((c | 32) - 'a' + 10);
      else
        broken("expected a hexadecimal digit");
    }
    return value;
  }

  // Behind a backslash.
  std::vector<CharRange> escape(bool in_class) {
    if (!more()) broken("a \\ at the end");
    const char32_t c = text_[at_++];
    static const std::vector<CharRange> space = {{9, 13},          {32, 32},         {0xA0, 0xA0},     {0x1680, 0x1680},
                                                 {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                                                 {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
    static const std::vector<CharRange> word = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    switch (c) {
      case 'd':
      case 'D': return normal_ranges({{'0', '9'}}, c == 'D');
      case 'w':
      case 'W': return normal_ranges(word, c == 'W');
      case 's':
      case 'S': return normal_ranges(space, c == 'S');
      case 'n': return {{'\n', '\n'}};
      case 'r': return {{'\r', '\r'}};
      case 't': return {{'\t', '\t'}};
      case 'f': return {{'\f', '\f'}};
      case 'v': return {{'\v', '\v'}};
      case '0': return {{0, 0}};
      case 'b':
        if (in_class) return {{8, 8}};
        unsupported("\\b");
      case 'x': {
        const uint32_t value = hex(2);
        return {{value, value}};
      }
      case 'u': {
        uint32_t value;
        if (take('{')) {
          value = 0;
          while (more() && !next_is('}') && value <= kLastCodePoint) value = value * 16 + hex(1);
          if (!take('}') || value > kLastCodePoint) broken("expected \\u{…} with a code point");
        } else {
          value = hex(4);
          if (value >= 0xD800 && value < 0xDC00 && at_ + 1 < text_.size() && text_[at_] == '\\' &&
              text_[at_ + 1] == 'u') {
            at_ += 2;
            value = 0x10000 + ((value - 0xD800) << 10) + (hex(4) & 0x3FF);
          }
        }
        return {{value, value}};
      }
      default:
        if (c >= '1' && c <= '9') unsupported("a back reference");
        if (c == 'B' || c == 'p' || c == 'P' || c == 'k' || c == 'c') unsupported(std::string("\\") + char(c));
        return {{c, c}};
    }
  }

  std::vector<CharRange> char_class() {
    const bool negated = take('^');
    std::vector<CharRange> ranges;
    while (!next_is(']')) {
      if (!more()) broken("a [ without its ]");
      std::vector<CharRange> low = class_atom();
      const bool range = next_is('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (range && low.size() == 1 && low[0].low == low[0].high) {
        at_++;
        const std::vector<CharRange> high = class_atom();
        if (high.size() == 1 && high[0].low == high[0].high) {
          if (high[0].low < low[0].low) broken("a range whose end is before its beginning");
          low[0].high = high[0].high;
        } else {  // [a-\d]: the dash stands for itself
          low.push_back({'-', '-'});
          low.insert(low.end(), high.begin(), high.end());
        }
      }
      ranges.insert(ranges.end(), low.begin(), low.end());
    }
    at_++;
    return normal_ranges(std::move(ranges), negated);
  }
  std::vector<CharRange> class_atom() {
    if (!more()) broken("a [ without its ]");
    const char32_t c = text_[at_++];
    if (c == '\\') return escape(true);
    return {{c, c}};
  }

  bool number(uint32_t& value) {
    const size_t begin = at_;
    uint64_t n = 0;
    while (more() && text_[at_] >= '0' && text_[at_] <= '9')
      n = std::min<uint64_t>(n * 10 + (text_[at_++] - '0'), 1u << 30);
    value = uint32_t(n);
    return at_ > begin;
  }

  // {m}, {m,}, {m,n}; anything else in braces is text.
  bool bounds(uint32_t& min, uint32_t& max) {
    const size_t begin = at_;
    if (take('{') && number(min)) {
      max = min;
      if (take(',') && !number(max)) max = kUnbounded;
      if (take('}')) {
        if (max < min) broken("a repetition whose end is before its beginning");
        return true;
      }
    }
    at_ = begin;
    return false;
  }

  NodePtr repeated(NodePtr node) {
    for (;;) {
      uint32_t min = 0, max = kUnbounded;
      if (take('*')) {
      } else if (take('+')) {
        min = 1;
      } else if (take('?')) {
        max = 1;
      } else if (!bounds(min, max)) {
        return node;
      }
      take('?');  // lazy: the same texts
      NodePtr outer = make(Node::Kind::kRepeat);
      outer->min = min;
      outer->max = max;
      outer->parts.push_back(std::move(node));
      node = std::move(outer);
      if (++stacked_ > 1000) broken("too many repetitions");
    }
  }

  const std::string& where_;
  std::u32string text_;
  size_t at_ = 0;
  int stacked_ = 0;
};

// Thompson's construction, then subsets.
class Machine {
 public:
  explicit Machine(const std::string& where) : where_(where) {}

  CharDfa build(const Node& node) {
    const std::vector<CharRange> any = {kAllChars[0], kAllChars[1], {kBegin, kEnd}};
    const uint32_t start = add_state();
    for (const CharRange& r : any) edges_[start].push_back({r.low, r.high, start});
    const uint32_t end = emit(node, start);
    for (const CharRange& r : any) edges_[end].push_back({r.low, r.high, end});
    accept_ = end;
    return subsets(start);
  }

 private:
  uint32_t add_state() {
    require(edges_.size() < kMaxNfaStates, ErrorKind::kInput,
            "{}: pattern is too large: expected at most {} states after repetitions are written out", where_,
            kMaxNfaStates);
    edges_.emplace_back();
    skips_.emplace_back();
    return uint32_t(edges_.size() - 1);
  }

  uint32_t emit(const Node& node, uint32_t from) {
    switch (node.kind) {
      case Node::Kind::kChars: {
        const uint32_t to = add_state();
        for (const CharRange& r : node.chars) edges_[from].push_back({r.low, r.high, to});
        return to;
      }
      case Node::Kind::kSequence:
        for (const NodePtr& part : node.parts) from = emit(*part, from);
        return from;
      case Node::Kind::kChoice: {
        const uint32_t to = add_state();
        for (const NodePtr& part : node.parts) {
          const uint32_t begin = add_state();
          skips_[from].push_back(begin);
          skips_[emit(*part, begin)].push_back(to);
        }
        return to;
      }
      case Node::Kind::kRepeat: return repeat(node, from);
    }
    return from;
  }

  uint32_t repeat(const Node& node, uint32_t from) {
    for (uint32_t i = 0; i < node.min; i++) {
      add_state();  // counts empty bodies too, so that {1000000} of nothing ends
      from = emit(*node.parts[0], from);
    }
    const uint32_t end = add_state();
    if (node.max == kUnbounded) {
      const uint32_t loop = add_state();
      skips_[from].push_back(loop);
      skips_[emit(*node.parts[0], loop)].push_back(loop);
      skips_[loop].push_back(end);
      return end;
    }
    skips_[from].push_back(end);
    for (uint32_t i = node.min; i < node.max; i++) {
      const uint32_t begin = add_state();
      skips_[from].push_back(begin);
      from = emit(*node.parts[0], begin);
      skips_[from].push_back(end);
    }
    return end;
  }

  using Set = std::vector<uint32_t>;
  Set closed(const Set& seeds) {
    Set set;
    mark_.resize(edges_.size(), 0);
    stamp_++;
    std::vector<uint32_t> work(seeds);
    while (!work.empty()) {
      const uint32_t state = work.back();
      work.pop_back();
      if (mark_[state] == stamp_) continue;
      mark_[state] = stamp_;
      count(1 + skips_[state].size());
      if (!edges_[state].empty() || state == accept_) set.push_back(state);
      for (uint32_t to : skips_[state]) work.push_back(to);
    }
    std::sort(set.begin(), set.end());
    return set;
  }
  void count(size_t n) {
    work_ += n;
    require(work_ <= kMaxWork, ErrorKind::kInput, "{}: pattern needs too much work to compile: make it simpler",
            where_);
  }

  struct Step {
    char32_t low, high;
    Set to;
  };
  std::vector<Step> steps(const Set& set) {
    struct Border {
      char32_t at;
      bool begin;
      uint32_t to;
    };
    std::vector<Border> borders;
    for (uint32_t state : set)
      for (const CharDfa::Edge& e : edges_[state]) {
        borders.push_back({e.low, true, e.to});
        borders.push_back({e.high + 1, false, e.to});
      }
    std::sort(borders.begin(), borders.end(), [](const Border& a, const Border& b) { return a.at < b.at; });
    std::vector<Step> result;
    std::map<uint32_t, int> open;
    for (size_t i = 0; i < borders.size();) {
      const char32_t at = borders[i].at;
      for (; i < borders.size() && borders[i].at == at; i++) {
        int& n = open[borders[i].to];
        n += borders[i].begin ? 1 : -1;
        if (n == 0) open.erase(borders[i].to);
      }
      if (open.empty() || i == borders.size()) continue;
      Step step{at, borders[i].at - 1, {}};
      for (const auto& [to, n] : open) step.to.push_back(to);
      count(step.to.size() + 4);
      result.push_back(std::move(step));
    }
    return result;
  }

  // Behind one mark or more: anchors in a row each read one.
  Set behind_marks(Set set, char32_t mark) {
    Set all;
    for (;;) {
      for (uint32_t state : set)
        for (const CharDfa::Edge& e : edges_[state])
          if (e.low <= mark && mark <= e.high) all.push_back(e.to);
      Set more = closed(all);
      if (more == set) return more;
      all = more;
      set = std::move(more);
    }
  }

  CharDfa subsets(uint32_t start) {
    std::map<Set, uint32_t> ids;
    std::vector<Set> sets;
    auto id_of = [&](Set set) {
      count(set.size());
      const auto [place, fresh] = ids.try_emplace(set, uint32_t(sets.size()));
      if (fresh) sets.push_back(std::move(set));
      require(sets.size() <= CharDfa::kMaxStates, ErrorKind::kInput,
              "{}: pattern is too large: expected at most {} states", where_, CharDfa::kMaxStates);
      return place->second;
    };
    id_of(behind_marks(closed({start}), kBegin));
    CharDfa dfa;
    for (size_t i = 0; i < sets.size(); i++) {
      CharDfa::State state;
      const Set last = behind_marks(Set(sets[i]), kEnd);
      state.accepts = std::binary_search(last.begin(), last.end(), accept_);
      for (const Step& step : steps(Set(sets[i]))) {
        if (step.low > kLastCodePoint) continue;
        const uint32_t to = id_of(closed(step.to));
        for (const CharRange& r : normal_ranges({{step.low, std::min(step.high, kLastCodePoint)}}, false)) {
          if (!state.edges.empty() && state.edges.back().to == to && state.edges.back().high + 1 == r.low)
            state.edges.back().high = r.high;
          else
            state.edges.push_back({r.low, r.high, to});
        }
      }
      dfa.states.push_back(std::move(state));
    }
    return trimmed(dfa);
  }

  const std::string& where_;
  std::vector<std::vector<CharDfa::Edge>> edges_;
  std::vector<std::vector<uint32_t>> skips_;
  uint32_t accept_ = 0;
  std::vector<uint32_t> mark_;
  uint32_t stamp_ = 0;
  size_t work_ = 0;
};

}  // namespace

CharDfa regex_dfa(std::string_view pattern, const std::string& where) {
  const NodePtr node = Parser(pattern, where).parse();
  return Machine(where).build(*node);
}

}  // namespace tenth
