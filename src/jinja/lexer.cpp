#include "jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/utf8.h"
#include "jinja/characters.h"

namespace tenth::jinja {
namespace {

// Every line end becomes \n, and one at the very end goes.
std::string normal_lines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); i++) {
    if (source[i] == '\r' && source.substr(i + 1, 1) == "\n") continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

bool is_name_byte(char c) { return std::isalnum(uint8_t(c)) || c == '_' || uint8_t(c) >= 0x80; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normal_lines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      text(tag);
      if (tag == source_.size()) break;
      at_ = tag;
      const char kind = source_[at_ + 1];
      if (kind == '#')
        comment();
      else if (kind == '%' && !raw())
        block();
      else if (kind == '{')
        print();
    }
    add(Token::kEnd, "");
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const { fail(ErrorKind::kInput, "line {}: {}", line_, what); }

  bool looking_at(std::string_view what) const { return std::string_view(source_).substr(at_).starts_with(what); }

  // All ways forward go through here, so that lines are counted.
  void move_to(size_t to) {
    line_ += int(std::count(source_.begin() + ptrdiff_t(at_), source_.begin() + ptrdiff_t(to), '\n'));
    at_ = to;
  }

  void skip_space() {
    size_t to = at_;
    while (to < source_.size()) {
      size_t behind = to;
      if (!is_space(next_code_point(source_, behind))) break;
      to = behind;
    }
    move_to(to);
  }

  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  size_t next_tag() const {
    for (size_t i = at_; i + 1 < source_.size(); i++)
      if (source_[i] == '{' && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#')) return i;
    return source_.size();
  }

  // The text up to a tag (or the end), less the space that the tag takes from it.
  void text(size_t tag) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (tag < source_.size()) {
      const char kind = source_[tag + 1], sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (sign == '-')
        text = right_trimmed(text);
      else if (sign != '+' && kind != '{')
        text = without_indent(text);
    }
    if (!text.empty()) add(Token::kText, std::string(text));
    move_to(tag);
  }

  // Spaces alone between the begin of a line and the tag go.
  std::string_view without_indent(std::string_view text) const {
    const size_t newline = text.rfind('\n');
    const size_t begin = newline == text.npos ? 0 : newline + 1;
    const bool line_begins = begin > 0 || at_ == 0 || source_[at_ - 1] == '\n';
    if (line_begins && right_trimmed(text.substr(begin)).empty()) return text.substr(0, begin);
    return text;
  }

  // Behind a tag: all space after "-", else one newline, which print tags leave.
  void behind_tag(char sign, bool takes_newline) {
    if (sign == '-')
      skip_space();
    else if (sign != '+' && takes_newline && looking_at("\n"))
      move_to(at_ + 1);
  }

  void comment() {
    const size_t end = source_.find("#}", at_ + 2);
    if (end == std::string::npos) wrong("expected #} to end the comment, got the end of the template");
    const char sign = end > at_ + 2 ? source_[end - 1] : '\0';
    move_to(end + 2);
    behind_tag(sign, true);
  }

  // At "{% word %}" with any signs and spaces: moves behind it and gives its last sign.
  bool tag_of(std::string_view word, char& sign) {
    size_t i = at_ + 2;
    auto skip = [&] {
      while (i < source_.size() && std::isspace(uint8_t(source_[i]))) i++;
    };
    if (i < source_.size() && (source_[i] == '-' || source_[i] == '+')) i++;
    skip();
    if (std::string_view(source_).substr(i, word.size()) != word) return false;
    i += word.size();
    skip();
    sign = i < source_.size() ? source_[i] : '\0';
    if (sign == '-' || sign == '+') i++;
    if (std::string_view(source_).substr(i, 2) != "%}") return false;
    move_to(i + 2);
    return true;
  }

  bool raw() {
    char sign = '\0';
    if (!tag_of("raw", sign)) return false;
    if (sign == '-') skip_space();
    const size_t begin = at_;
    for (size_t i = begin; (i = source_.find("{%", i)) != std::string::npos; i += 2) {
      move_to(i);
      if (!tag_of("endraw", sign)) continue;
      const std::string_view all(source_);
      std::string_view text = all.substr(begin, i - begin);
      if (all.substr(i + 2, 1) == "-") text = right_trimmed(text);
      if (!text.empty()) add(Token::kText, std::string(text));
      behind_tag(sign, true);
      return true;
    }
    wrong("expected {% endraw %}, got the end of the template");
  }

  void print() { tag(Token::kPrintBegin, Token::kPrintEnd, "}}"); }
  void block() { tag(Token::kBlockBegin, Token::kBlockEnd, "%}"); }

  void tag(Token::Kind begin, Token::Kind end, std::string_view close) {
    add(begin, "");
    at_ += 2;
    if (looking_at("-") || looking_at("+")) at_++;
    open_.clear();
    for (;;) {
      skip_space();
      if (at_ == source_.size()) wrong(fmt::format("expected {} to end the tag, got the end of the template", close));
      const char sign = source_[at_];
      const bool signed_end = (sign == '-' || (sign == '+' && begin == Token::kBlockBegin)) &&
                              std::string_view(source_).substr(at_ + 1).starts_with(close);
      if (open_.empty() && (signed_end || looking_at(close))) {
        add(end, "");
        move_to(at_ + close.size() + (signed_end ? 1 : 0));
        return behind_tag(signed_end ? sign : '\0', begin == Token::kBlockBegin);
      }
      token();
    }
  }

  void token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return string(c);
    if (std::isdigit(uint8_t(c))) return number();
    if (is_name_byte(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_byte(source_[end])) end++;
      add(Token::kName, source_.substr(at_, end - at_));
      return move_to(end);
    }
    static constexpr std::array<std::string_view, 26> kOperators = {"**", "//", "==", "!=", "<=", ">=", "+", "-", "*",
                                                                    "/",  "%",  "~",  "<",  ">",  "=",  "(", ")", "[",
                                                                    "]",  "{",  "}",  ",",  ":",  ".",  "|", ";"};
    for (std::string_view op : kOperators) {
      if (!looking_at(op)) continue;
      balance(op[0]);
      add(Token::kOperator, std::string(op));
      return move_to(at_ + op.size());
    }
    wrong(fmt::format("unexpected sign \"{}\"", source_.substr(at_, 1)));
  }

  // "}}" within an open "{" ends two dicts, not the tag.
  void balance(char c) {
    if (c == '(' || c == '[' || c == '{') open_ += c;
    if (c != ')' && c != ']' && c != '}') return;
    const char expected = c == ')' ? '(' : c == ']' ? '[' : '{';
    if (open_.empty() || open_.back() != expected) wrong(fmt::format("unexpected \"{}\"", c));
    open_.pop_back();
  }

  // Digits with single underscores between them.
  size_t digits(size_t from, std::string& out, const std::string& allowed) const {
    for (; from < source_.size(); from++) {
      const char c = source_[from];
      const bool digit = allowed.find(char(std::tolower(uint8_t(c)))) != std::string::npos;
      const bool separator = c == '_' && from + 1 < source_.size() && std::isalnum(uint8_t(source_[from + 1]));
      if (!digit && !separator) break;
      if (digit) out += c;
    }
    return from;
  }

  void number() {
    const std::string kDigits = "0123456789";
    const char second = at_ + 1 < source_.size() ? char(std::tolower(uint8_t(source_[at_ + 1]))) : '\0';
    std::string text;
    size_t end;
    int base = 10;
    if (source_[at_] == '0' && (second == 'x' || second == 'o' || second == 'b')) {
      base = second == 'x' ? 16 : second == 'o' ? 8 : 2;
      end = digits(at_ + 2, text, base == 16 ? kDigits + "abcdef" : kDigits.substr(0, size_t(base)));
      return integer(text, base, end);
    }
    end = digits(at_, text, kDigits);
    bool is_float = false;
    auto digit_at = [&](size_t i) { return i < source_.size() && std::isdigit(uint8_t(source_[i])); };
    if (end < source_.size() && source_[end] == '.' && digit_at(end + 1)) {
      is_float = true;
      text += '.';
      end = digits(end + 1, text, kDigits);
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      const bool sign = end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-');
      if (digit_at(end + 1 + sign)) {
        is_float = true;
        text += 'e';
        if (sign) text += source_[end + 1];
        end = digits(end + 1 + sign, text, kDigits);
      }
    }
    if (!is_float) return integer(text, 10, end);
    add(Token::kFloat, text);
    move_to(end);
  }

  void integer(const std::string& text, int base, size_t end) {
    int64_t value = 0;
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (result.ec != std::errc() || result.ptr != text.data() + text.size())
      wrong(fmt::format("expected a whole number of 64 bits, got {}", source_.substr(at_, end - at_).substr(0, 40)));
    add(Token::kInteger, std::to_string(value));
    move_to(end);
  }

  void string(char quote) {
    std::string value;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\' && i + 1 < source_.size())
        i = escape(i + 1, value);
      else
        value += source_[i++];
    }
    if (i >= source_.size()) wrong("expected the end of a string, got the end of the template");
    add(Token::kString, value);
    move_to(i + 1);
  }

  // Python's escapes; at: behind the backslash. Returns where the string goes on.
  size_t escape(size_t at, std::string& out) const {
    static constexpr std::string_view kShort = "\\'\"abfnrtv", kMeaning = "\\'\"\a\b\f\n\r\t\v";
    const char c = source_[at];
    if (c == '\n') return at + 1;
    if (const size_t i = kShort.find(c); i != kShort.npos) {
      out += kMeaning[i];
      return at + 1;
    }
    if (c >= '0' && c <= '7') return code_point(at, 1, 3, 8, out);
    if (c == 'x') return code_point(at + 1, 2, 2, 16, out);
    if (c == 'u') return code_point(at + 1, 4, 4, 16, out);
    if (c == 'U') return code_point(at + 1, 8, 8, 16, out);
    out += '\\';
    out += c;
    return at + 1;
  }

  size_t code_point(size_t at, size_t least, size_t most, int base, std::string& out) const {
    uint32_t value = 0;
    const char* begin = source_.data() + at;
    const auto result = std::from_chars(begin, begin + std::min(most, source_.size() - at), value, base);
    const size_t length = size_t(result.ptr - begin);
    if (result.ec != std::errc() || length < least || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      wrong("expected the number of a character behind the backslash");
    append_code_point(value, out);
    return at + length;
  }

  const std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  std::string open_;  // brackets of the tag that are open
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace tenth::jinja
