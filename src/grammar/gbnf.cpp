#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxBytes = 1 << 20;

class Parser {
 public:
  Parser(std::string_view text, const std::string& where, const GrammarVocabulary* marks)
      : text_(text), where_(where), marks_(marks), builder_(where) {}

  Network parse() {
    require(text_.size() <= kMaxBytes, ErrorKind::kInput, "{}: expected at most {} bytes of grammar", where_,
            kMaxBytes);
    require(well_formed_prefix(text_) == text_.size(), ErrorKind::kInput, "{}: not well-formed UTF-8", where_);
    space(true);
    while (at_ < text_.size()) rule();
    for (const auto& [name, known] : rules_)
      require(known.defined, ErrorKind::kInput, "{}: line {}: rule {} is used and nowhere defined", where_, known.line,
              name);
    const auto root = rules_.find("root");
    require(root != rules_.end(), ErrorKind::kInput, "{}: expected a rule named root", where_);
    return builder_.finish(root->second.rule);
  }

 private:
  struct Known {
    uint32_t rule;
    bool defined = false;
    size_t line = 0;  // of its first use
  };

  [[noreturn]] void broken(std::string_view what) { fail(ErrorKind::kInput, "{}: line {}: {}", where_, line(), what); }
  size_t line() const { return 1 + size_t(std::count(text_.begin(), text_.begin() + std::ptrdiff_t(at_), '\n')); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  // Blanks and comments; ends of lines too where a rule may go on behind them.
  void space(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') at_++;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        at_++;
      } else {
        return;
      }
    }
  }

  static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
  }
  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) at_++;
    return std::string(text_.substr(begin, at_ - begin));
  }
  Known& known(const std::string& name) {
    const auto place = rules_.find(name);
    if (place != rules_.end()) return place->second;
    return rules_.emplace(name, Known{builder_.add_rule("rule " + name), false, line()}).first->second;
  }

  void rule() {
    const std::string called = name();
    if (called.empty()) broken("expected the name of a rule");
    space(false);
    if (!take("::=")) broken("expected ::= behind the name of a rule");
    Known& rule = known(called);
    if (rule.defined) broken("rule " + called + " is defined twice");
    rule.defined = true;
    space(true);
    builder_.accept(choice(builder_.start(rule.rule), false, 0));
    space(true);
  }

  // Parses alternatives from a state; the state behind them.
  uint32_t choice(uint32_t from, bool nested, int depth) {
    require(depth <= kMaxDepth, ErrorKind::kInput, "{}: line {}: expected groups nested at most {} deep", where_,
            line(), kMaxDepth);
    const uint32_t end = builder_.add_state();
    for (;;) {
      const uint32_t begin = builder_.add_state();
      builder_.skip(from, begin);
      builder_.skip(sequence(begin, nested, depth), end);
      if (!take("|")) return end;
      space(true);
    }
  }

  uint32_t sequence(uint32_t from, bool nested, int depth) {
    for (;;) {
      // Behind the end of a line outside of ( ) another rule begins.
      const char c = peek();
      if (at_ >= text_.size() || c == '|' || c == ')' || c == '\n' || c == '\r') return from;
      const uint32_t begin = builder_.add_state();
      builder_.skip(from, begin);
      from = repeated(begin, nested, depth);
    }
  }

  // An element and its repetition, which makes the element a rule of its own.
  uint32_t repeated(uint32_t from, bool nested, int depth) {
    const size_t begin = at_;
    if (const std::optional<std::vector<CharRange>> chars = one_class()) {
      space(nested);
      uint32_t min = 1, max = 1;
      const bool again = bounds(min, max, nested);
      const uint32_t to = builder_.add_state();
      if (again)
        builder_.call(from, builder_.counted_rule(*chars, min, max, Spelling::kPlain, place(begin)), to);
      else
        for (const CharRange& r : *chars) builder_.edge(from, r.low, r.high, to);
      return further(to, nested);
    }
    const uint32_t start = builder_.add_state();
    const uint32_t end = element(start, depth);
    space(nested);
    uint32_t min = 1, max = 1;
    if (!bounds(min, max, nested)) {
      builder_.skip(from, start);
      return end;
    }
    builder_.accept(end);
    const uint32_t body = builder_.rule_from(start, place(begin)), to = builder_.add_state();
    builder_.call(from, builder_.repeat_rule(body, min, max, place(begin)), to);
    return further(to, nested);
  }
  std::string place(size_t at) const {
    return fmt::format("the group at line {}", 1 + std::count(text_.begin(), text_.begin() + std::ptrdiff_t(at), '\n'));
  }
  uint32_t further(uint32_t state, bool nested) {
    uint32_t min, max;
    if (bounds(min, max, nested)) broken("a repetition of a repetition: put ( ) around the first");
    return state;
  }

  bool bounds(uint32_t& min, uint32_t& max, bool nested) {
    if (take("*")) {
      min = 0, max = kUnlimited;
    } else if (take("+")) {
      min = 1, max = kUnlimited;
    } else if (take("?")) {
      min = 0, max = 1;
    } else if (take("{")) {
      space(nested);
      min = max = number();
      space(nested);
      if (take(",")) {
        space(nested);
        max = peek() == '}' ? kUnlimited : number();
        space(nested);
      }
      if (!take("}")) broken("expected } behind the numbers of a repetition");
      if (max < min) broken("a repetition whose end is before its beginning");
    } else {
      return false;
    }
    space(nested);
    return true;
  }
  uint32_t number() {
    uint64_t n = 0;
    const size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9'; at_++) n = std::min<uint64_t>(10 * n + uint64_t(peek() - '0'), UINT32_MAX);
    if (at_ == begin) broken("expected a number");
    if (n > 1'000'000'000) broken("expected a repetition of at most 1000000000");
    return uint32_t(n);
  }

  uint32_t element(uint32_t from, int depth) {
    const char c = peek();
    if (c == '"') return literal(from);
    if (c == '(') {
      at_++;
      space(true);
      const uint32_t end = choice(from, true, depth + 1);
      if (!take(")")) broken("a ( without its )");
      return end;
    }
    if (c == '<' || c == '!')
      fail(ErrorKind::kUnsupported, "{}: line {}: references to tokens (<…>) are not supported: write their text",
           where_, line());
    const std::string called = name();
    if (called.empty()) broken(std::string("unexpected character ") + printable_char());
    const uint32_t to = builder_.add_state();
    builder_.call(from, known(called).rule, to);
    return to;
  }
  std::string printable_char() const {
    const char c = peek();
    return c > ' ' && c < 127 ? std::string(1, c) : fmt::format("0x{:02x}", uint8_t(c));
  }

  uint32_t literal(uint32_t from) {
    at_++;
    std::string text;
    while (!take("\"")) append_code_point(character("\""), text);
    return builder_.text(from, marks_ ? marks_->spelled(text) : text);
  }

  // A class, or ., where one stands here.
  std::optional<std::vector<CharRange>> one_class() {
    if (take(".")) return std::vector<CharRange>(std::begin(kAllChars), std::end(kAllChars));
    if (!take("[")) return std::nullopt;
    const bool negated = take("^");
    std::vector<CharRange> ranges;
    while (!take("]")) {
      const char32_t low = character("]");
      char32_t high = low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        at_++;
        high = character("]");
        if (high < low) broken("a range whose end is before its beginning");
      }
      ranges.push_back({low, high});
    }
    return normal_ranges(std::move(ranges), negated);
  }

  char32_t character(std::string_view closing) {
    if (at_ >= text_.size() || peek() == '\n') broken(fmt::format("expected {} before the end of the line", closing));
    if (!take("\\")) return next_code_point(text_, at_);
    const char c = peek();
    if (at_ < text_.size()) at_++;
    switch (c) {
      case 'n': return '\n';
      case 'r': return '\r';
      case 't': return '\t';
      case 'x': return hex(2);
      case 'u': return hex(4);
      case 'U': return hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^': return char32_t(c);
      default: broken(std::string("unknown escape \\") + (c > ' ' && c < 127 ? std::string(1, c) : std::string()));
    }
  }
  char32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; i++, at_++) {
      const char c = peek();
      const char lower = char(c | 32);
      if (c >= '0' && c <= '9')
        value = value * 16 + uint32_t(c - '0');
      else if (lower >= 'a' && lower <= 'f')
        value = value * 16 + uint32_t(lower - 'a' + 10);
      else
        broken("expected a hexadecimal digit");
    }
    if (value > kLastCodePoint || (value >= 0xD800 && value <= 0xDFFF)) broken("expected a code point of Unicode");
    return value;
  }

  std::string_view text_;
  const std::string& where_;
  const GrammarVocabulary* marks_;
  NetworkBuilder builder_;
  size_t at_ = 0;
  std::map<std::string, Known> rules_;
};

}  // namespace

Network parse_gbnf(std::string_view text, const std::string& where, const GrammarVocabulary* marks) {
  return Parser(text, where, marks).parse();
}

}  // namespace tenth
