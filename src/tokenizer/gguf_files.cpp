// The vocabulary of a GGUF file as tokenizer.json and tokenizer_config.json.
#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/gguf_split.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace tenth {
namespace {

enum : int64_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

int64_t type_of(const GgufVocabulary& from, size_t id) { return from.types.empty() ? kNormal : from.types[id]; }

bool is_added(const GgufVocabulary& from, size_t id) {
  const int64_t type = type_of(from, id);
  return (type == kControl || type == kUserDefined) && !from.tokens[id].empty();
}

// Without the unused ones at the end.
size_t tokens_in_use(const GgufVocabulary& from) {
  const int64_t named = std::max({from.bos.value_or(-1), from.eos.value_or(-1), from.pad.value_or(-1)});
  size_t tokens = from.tokens.size();
  while (int64_t(tokens) > named + 1 && type_of(from, tokens - 1) == kUnused) tokens--;
  return tokens;
}

OrderedJson added_tokens_json(const GgufVocabulary& from, size_t tokens) {
  OrderedJson added = OrderedJson::array();
  for (size_t id = 0; id < tokens; id++) {
    if (!is_added(from, id)) continue;
    added.push_back({{"id", id},
                     {"content", std::string(from.tokens[id])},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type_of(from, id) == kControl}});
  }
  return added;
}

OrderedJson merges_json(const GgufVocabulary& from) {
  OrderedJson merges = OrderedJson::array();
  for (const std::string_view merge : from.merges) {
    const size_t cut = merge.find(' ');
    merges.push_back(OrderedJson::array({std::string(merge.substr(0, cut)), std::string(merge.substr(cut + 1))}));
  }
  return merges;
}

// Added tokens behind the last other one stand in the list of added tokens alone, as in the models' own files: the
// libraries number them on from there.
OrderedJson model_json(const GgufVocabulary& from, size_t tokens, bool ignore_merges) {
  while (tokens > 0 && is_added(from, tokens - 1)) tokens--;
  OrderedJson vocab = OrderedJson::object();
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();
  for (size_t id = 0; id < tokens; id++) entries.emplace_back(std::string(from.tokens[id]), id);
  return bpe_model_json(std::move(vocab), merges_json(from), ignore_merges);
}

}  // namespace

TokenizerFiles tokenizer_files(const GgufVocabulary& from) {
  const Tokenizer tokenizer = Tokenizer::from_gguf(from);  // all that is wrong with it is said here
  const GgufSplit& split = gguf_split_of(from);
  require(well_formed_prefix(from.chat_template) == from.chat_template.size(), ErrorKind::kInput,
          "{}: tokenizer.chat_template: expected UTF-8, got other bytes", from.where);
  const size_t tokens = tokens_in_use(from);
  const std::vector<int32_t> before = tokenizer.with_template({});

  OrderedJson json;
  json["version"] = "1.0";
  json["truncation"] = json["padding"] = nullptr;
  json["added_tokens"] = added_tokens_json(from, tokens);
  json["normalizer"] = split.nfc ? OrderedJson{{"type", "NFC"}} : OrderedJson();
  json["pre_tokenizer"] = pre_tokenizer_json(split);
  json["post_processor"] =
      before.empty() ? byte_level_json(false) : token_before_text_json(tokenizer.token_text(before[0]), before[0]);
  json["decoder"] = byte_level_json(false);
  json["model"] = model_json(from, tokens, split.ignore_merges);

  OrderedJson config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  for (const auto& [name, text] : tokenizer.named_tokens()) config[name] = text;
  config["clean_up_tokenization_spaces"] = false;
  if (!from.chat_template.empty()) config["chat_template"] = from.chat_template;
  return {json.dump() + "\n", config.dump(1) + "\n"};
}

}  // namespace tenth
