// Grammars as text, in the notation of llama.cpp (GBNF): rules name ::= body with "text", [classes], (groups),
// alternatives |, repetition * + ? {m} {m,} {m,n}, # comments; the rule root is the whole text. Classes are of code
// points; `.` is any character. A rule goes on over the end of a line within ( ) and behind ::= and |.
#pragma once
#include <string>
#include <string_view>

#include "grammar/network.h"
#include "grammar/vocabulary.h"

namespace tenth {

// Throws kInput, naming line and rule: broken text, a rule that is missing or defined twice, left recursion, a rule
// that cannot end, too large; kUnsupported for token references (<think>, <[1000]>). The marks of a vocabulary
// (vocabulary.h) are meant where their text stands between quotes.
Network parse_gbnf(std::string_view text, const std::string& where, const GrammarVocabulary* marks = nullptr);

}  // namespace tenth
