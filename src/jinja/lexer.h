// A template cut into tokens, with the white space that its tags take away already gone (trim_blocks and lstrip_blocks
// on, as the Hugging Face libraries set them).
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace tenth::jinja {

struct Token {
  enum Kind {
    kText,        // between tags
    kPrintBegin,  // {{
    kPrintEnd,
    kBlockBegin,  // {%
    kBlockEnd,
    kName,
    kString,  // its value
    kInteger,
    kFloat,
    kOperator,
    kEnd
  };
  Kind kind;
  std::string text;
  int line;
};

// Throws kInput "line N: …" for a tag, comment or string that does not end, or a sign that is none of the language.
std::vector<Token> tokenize(std::string_view source);

}  // namespace tenth::jinja
