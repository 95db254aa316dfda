#include "tokenizer/bpe_files.h"

#include <algorithm>

#include "tokenizer/chat_format.h"
#include "tokenizer/tokenizer_json.h"

namespace tenth {
namespace {

constexpr const char* kPadToken = "<pad>";
constexpr const char* kBosToken = "<bos>";

OrderedJson byte_level(bool with_regex_flag) {
  OrderedJson json = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  json["use_regex"] = with_regex_flag;
  return json;
}

OrderedJson bos_before_text(int64_t bos) {
  const OrderedJson sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const OrderedJson second = {{"Sequence", {{"id", "B"}, {"type_id", 1}}}};
  const OrderedJson token = {{"SpecialToken", {{"id", kBosToken}, {"type_id", 0}}}};
  OrderedJson json = {{"type", "TemplateProcessing"}};
  json["single"] = OrderedJson::array({token, sequence});
  json["pair"] = OrderedJson::array({token, sequence, second});
  json["special_tokens"][kBosToken] = {
      {"id", kBosToken}, {"ids", OrderedJson::array({bos})}, {"tokens", OrderedJson::array({kBosToken})}};
  return json;
}

OrderedJson pre_tokenizer() {
  const OrderedJson split = {
      {"type", "Split"}, {"pattern", {{"Regex", kSplitPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({split, byte_level(false)})}};
}

OrderedJson model(const BpeVocabulary& vocabulary) {
  OrderedJson vocab = OrderedJson::object(), merges = OrderedJson::array();
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) entries.emplace_back(vocabulary.tokens[id], id);
  for (const auto& [left, right] : vocabulary.merges)
    merges.push_back(OrderedJson::array({vocabulary.tokens[size_t(left)], vocabulary.tokens[size_t(right)]}));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

const std::vector<std::string>& text_specials() {
  static const std::vector<std::string> specials = {kPadToken,   kBosToken,  kEosToken,  kUserToken,
                                                    kThinkToken, "</think>", "<answer>", "</answer>"};
  return specials;
}

OrderedJson bpe_tokenizer_json(const BpeVocabulary& vocabulary, const std::vector<std::string>& specials) {
  const auto bos = std::find(specials.begin(), specials.end(), kBosToken);
  OrderedJson json = tokenizer_json_head(specials);
  json["pre_tokenizer"] = pre_tokenizer();
  json["post_processor"] = bos == specials.end() ? OrderedJson() : bos_before_text(bos - specials.begin());
  json["decoder"] = byte_level(true);
  json["model"] = model(vocabulary);
  return json;
}

OrderedJson bpe_tokenizer_config_json() {
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"bos_token", kBosToken},
          {"eos_token", kEosToken},
          {"pad_token", kPadToken},
          {"unk_token", nullptr},
          {"clean_up_tokenization_spaces", false},
          {"chat_template", chat_template()}};
}

void save_bpe(const BpeVocabulary& vocabulary, const Path& folder) {
  // One token a line would be 100,000 lines; the libraries do not mind.
  write_file(folder / "tokenizer.json", bpe_tokenizer_json(vocabulary, text_specials()).dump() + "\n");
  write_file(folder / "tokenizer_config.json", bpe_tokenizer_config_json().dump(1) + "\n");
}

}  // namespace tenth
