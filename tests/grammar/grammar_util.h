// Shared by the tests of grammars.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "grammar/grammar.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

inline OrderedJson schema_of(std::string_view text) { return parse_ordered_json(text, "schema"); }

inline Grammar schema_grammar(std::string_view text, MemberOrder order = MemberOrder::kAsListed) {
  return Grammar::from_json_schema(schema_of(text), "schema", order);
}

inline std::shared_ptr<const GrammarVocabulary> vocabulary_of(const Tokenizer& tokenizer) {
  std::vector<std::string> bytes(size_t(tokenizer.vocab_size()));
  for (int32_t id = 0; id < tokenizer.vocab_size(); id++)
    if (!tokenizer.is_special(id)) bytes[size_t(id)] = tokenizer.token_bytes(id);
  const std::vector<int32_t> ends = {tokenizer.eos_id().value()};
  return std::make_shared<const GrammarVocabulary>(bytes, ends);
}

inline bool allowed(std::span<const uint32_t> mask, int32_t id) { return mask[size_t(id) / 32] >> (id % 32) & 1; }

// The message of what a call throws; empty where nothing is thrown.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace tenth
