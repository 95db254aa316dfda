#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/pattern.h"

#include <pcre2.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"

namespace tenth {
namespace {

// Unicode White_Space, which Oniguruma's \s means; PCRE2's \s has U+180E besides.
constexpr std::string_view kSpace = "\\t-\\r\\x{85}\\p{Z}";

// Rewrites an Oniguruma expression for PCRE2, and refuses by name what would silently mean something else.
class Translator {
 public:
  Translator(std::string_view in, const std::string& where) : in_(in), where_(where) {}

  std::string run() {
    for (at_ = 0; at_ < in_.size(); at_++) {
      const char c = in_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_member(c);
      } else {
        outside(c);
      }
    }
    return out_;
  }

 private:
  void outside(char c) {
    out_ += c;
    if (c == '[') open_class();
    if (c == '(') check_flags();
    if (c == '}' && in_.substr(at_ + 1, 1) == "+") refuse("an interval followed by +");
  }

  void check_flags() const {
    if (in_.substr(at_ + 1, 1) != "?") return;
    for (size_t i = at_ + 2; i < in_.size() && (std::isalpha(uint8_t(in_[i])) || in_[i] == '-'); i++)
      if (in_[i] == 'm') refuse("the flag m");
  }

  void open_class() {
    in_class_ = true;
    if (at_ + 1 < in_.size() && in_[at_ + 1] == '^') out_ += in_[++at_];
    if (at_ + 1 < in_.size() && in_[at_ + 1] == ']') refuse("a class that begins with ]");
  }

  void class_member(char c) {
    if (c == '[') refuse("a class within a class");
    if (c == '&' && in_.substr(at_, 2) == "&&") refuse("an intersection of classes (&&)");
    if (c == ']') in_class_ = false;
    out_ += c;
  }

  void escape() {
    const char c = ++at_ < in_.size() ? in_[at_] : '\0';
    if (c == 's') {
      out_ += in_class_ ? std::string(kSpace) : fmt::format("[{}]", kSpace);
    } else if (c == 'S') {
      out_ += in_class_ ? "\\S\\x{180E}" : fmt::format("[^{}]", kSpace);
    } else if (std::string_view("wWbBhHRXKGCQEk").find(c) != std::string_view::npos && c != '\0') {
      refuse(fmt::format("\\{}", c));
    } else {
      out_ += '\\';
      if (c != '\0') out_ += c;
      // The braces of \p{L} and \x{10} belong to the escape.
      if (in_.substr(at_ + 1, 1) == "{" && std::string_view("pPx").find(c) != std::string_view::npos)
        while (at_ + 1 < in_.size() && out_.back() != '}') out_ += in_[++at_];
    }
  }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(ErrorKind::kUnsupported, "{}: {} in a pattern is not supported; it is {}", where_, what, in_);
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

std::string message_of(int error) {
  PCRE2_UCHAR text[256] = {};  // not written where the number is no error's
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// What one match needs, one a thread: results are read before the next match begins.
struct Scratch {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  Scratch() { pcre2_set_heap_limit(context, 64 * 1024); }  // KiB, for the interpreter's frames
  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
  }
};

Scratch& scratch() {
  thread_local Scratch instance;
  return instance;
}

}  // namespace

Pattern::Pattern(std::string_view expression, std::string where) : where_(std::move(where)) {
  const std::string translated = Translator(expression, where_).run();
  int error = 0;
  size_t offset = 0;
  // Ruby's ^ and $ always mean lines.
  const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context.get(), 128);
  auto* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(), options, &error,
                             &offset, context.get());
  if (!code)
    fail(ErrorKind::kInput, "{}: expected a regular expression, got one with an error: {}: {}", where_,
         message_of(error), expression);
  code_.reset(code, pcre2_code_free);
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where this fails, pcre2_match interprets
}

bool Pattern::find(std::string_view text, size_t from, size_t& begin, size_t& end) const {
  Scratch& use = scratch();
  const size_t steps = 1'000'000 + 64 * text.size();
  pcre2_set_match_limit(use.context, uint32_t(std::min<size_t>(steps, UINT32_MAX)));
  auto match = [&](uint32_t options) {
    return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       options | PCRE2_NO_UTF_CHECK, use.data, use.context);
  };
  int result = match(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0)
    fail(ErrorKind::kInput, "{}: expected a pattern that splits a text of {} bytes in linear time, got: {}", where_,
         text.size(), message_of(result));
  const size_t* bounds = pcre2_get_ovector_pointer(use.data);
  begin = bounds[0];
  end = bounds[1];
  return true;
}

void Pattern::isolate(std::string_view text, const PieceSink& piece) const {
  size_t done = 0, from = 0, begin = 0, end = 0;
  while (from < text.size() && find(text, from, begin, end)) {
    if (begin > done) piece(text.substr(done, begin - done));
    if (end > begin) {
      piece(text.substr(begin, end - begin));
      done = from = end;
    } else {  // an empty match cuts too; look on behind the next character
      done = begin;
      from = begin + 1;
      while (from < text.size() && (uint8_t(text[from]) & 0xC0) == 0x80) from++;
    }
  }
  if (done < text.size()) piece(text.substr(done));
}

std::string quote_for_pattern(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::string_view("\\^$.[]|()?*+{}-&#~/").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

}  // namespace tenth
