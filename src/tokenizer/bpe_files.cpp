#include "tokenizer/bpe_files.h"

#include <algorithm>

#include "tokenizer/chat_format.h"
#include "tokenizer/tokenizer_json.h"

namespace tenth {
namespace {

constexpr const char* kPadToken = "<pad>";
constexpr const char* kBosToken = "<bos>";

OrderedJson pre_tokenizer() {
  const OrderedJson split = {
      {"type", "Split"}, {"pattern", {{"Regex", kSplitPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({split, byte_level_json(false)})}};
}

OrderedJson model(const BpeVocabulary& vocabulary) {
  OrderedJson vocab = OrderedJson::object(), merges = OrderedJson::array();
  auto& entries = vocab.get_ref<OrderedJson::object_t&>();
  for (size_t id = 0; id < vocabulary.tokens.size(); id++) entries.emplace_back(vocabulary.tokens[id], id);
  for (const auto& [left, right] : vocabulary.merges)
    merges.push_back(OrderedJson::array({vocabulary.tokens[size_t(left)], vocabulary.tokens[size_t(right)]}));
  return bpe_model_json(std::move(vocab), std::move(merges), false);
}

}  // namespace

const std::vector<std::string>& text_specials() {
  static const std::vector<std::string> specials = {kPadToken,   kBosToken,      kEosToken,  kUserToken,
                                                    kThinkToken, kThinkEndToken, "<answer>", "</answer>"};
  return specials;
}

OrderedJson bpe_tokenizer_json(const BpeVocabulary& vocabulary, const std::vector<std::string>& specials) {
  const auto bos = std::find(specials.begin(), specials.end(), kBosToken);
  OrderedJson json = tokenizer_json_head(specials);
  json["pre_tokenizer"] = pre_tokenizer();
  json["post_processor"] =
      bos == specials.end() ? OrderedJson() : token_before_text_json(kBosToken, bos - specials.begin());
  json["decoder"] = byte_level_json(true);
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
