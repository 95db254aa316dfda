#include "tokenizer/tokenizer_json.h"

namespace tenth {

OrderedJson tokenizer_json_head(const std::vector<std::string>& specials) {
  OrderedJson added = OrderedJson::array();
  for (const std::string& token : specials) {
    added.push_back({{"id", added.size()},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  OrderedJson json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = std::move(added);
  json["normalizer"] = nullptr;
  return json;
}

OrderedJson bpe_model_json(OrderedJson vocab, OrderedJson merges, bool ignore_merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", ignore_merges},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

OrderedJson byte_level_json(bool use_regex) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

OrderedJson token_before_text_json(const std::string& token, int64_t id) {
  const auto item = [](const char* kind, const std::string& name, int type) {
    return OrderedJson{{kind, {{"id", name}, {"type_id", type}}}};
  };
  OrderedJson json = {{"type", "TemplateProcessing"}};
  json["single"] = OrderedJson::array({item("SpecialToken", token, 0), item("Sequence", "A", 0)});
  json["pair"] =
      OrderedJson::array({item("SpecialToken", token, 0), item("Sequence", "A", 0), item("Sequence", "B", 1)});
  json["special_tokens"][token] = {
      {"id", token}, {"ids", OrderedJson::array({id})}, {"tokens", OrderedJson::array({token})}};
  return json;
}

}  // namespace tenth
