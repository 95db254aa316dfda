// The regular expressions of pre-tokenizers. A tokenizer.json speaks the dialect of Oniguruma (Ruby syntax, Unicode
// classes); PCRE2 runs it here, compiled to machine code where the system allows that. Properties of characters are
// those of PCRE2's Unicode version: characters assigned after it may be split otherwise than by a newer library.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;

namespace tenth {

using PieceSink = std::function<void(std::string_view)>;

class Pattern {
 public:
  // where names the file and field in errors: kInput for a pattern that does not compile, kUnsupported for what the two
  // dialects understand differently (\w, \b, \h, nested classes).
  Pattern(std::string_view expression, std::string where);

  // Cuts text (well formed UTF-8) at each match: pieces are matches and what lies between them, in order, none empty
  // ("behavior": "Isolated"). Throws kInput where a pattern needs more steps or memory than a bound linear in the text.
  void isolate(std::string_view text, const PieceSink& piece) const;

 private:
  bool find(std::string_view text, size_t from, size_t& begin, size_t& end) const;

  std::string where_;
  std::shared_ptr<pcre2_real_code_8> code_;
};

// The pattern that matches text itself.
std::string quote_for_pattern(std::string_view text);

}  // namespace tenth
