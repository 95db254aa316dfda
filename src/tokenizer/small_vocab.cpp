#include "tokenizer/small_vocab.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/chat_format.h"
#include "tokenizer/pattern.h"
#include "tokenizer/tokenizer_json.h"

namespace tenth {
namespace {

void check(const SmallVocab& vocab) {
  std::set<std::string> seen;
  for (const auto* list : {&vocab.specials, &vocab.words}) {
    for (const std::string& token : *list) {
      std::string well_formed;
      append_well_formed(token, true, well_formed);
      require(!token.empty() && token == well_formed, ErrorKind::kInput,
              "vocabulary: expected tokens of one or more UTF-8 characters, got \"{}\"", well_formed);
      require(seen.insert(token).second, ErrorKind::kInput, "vocabulary: expected each token once, got \"{}\" twice",
              token);
    }
  }
  for (const std::string& name : {std::string(kUserToken), std::string(kThinkToken), std::string(kEosToken), vocab.pad})
    require(std::count(vocab.specials.begin(), vocab.specials.end(), name) == 1, ErrorKind::kInput,
            "vocabulary: expected \"{}\" among the special tokens, got none", name);
}

bool one_character(const std::string& token) {
  size_t position = 0;
  next_code_point(token, position);
  return position == token.size();
}

// Words of more than one character, longest first, then any one character.
std::string word_pattern(std::vector<std::string> words) {
  std::erase_if(words, one_character);
  std::stable_sort(words.begin(), words.end(), [](const auto& a, const auto& b) { return a.size() > b.size(); });
  std::string pattern;
  for (const std::string& word : words) pattern += quote_for_pattern(word) + "|";
  return pattern + "[\\s\\S]";
}

}  // namespace

OrderedJson SmallVocab::tokenizer_json() const {
  check(*this);
  OrderedJson vocab = OrderedJson::object();
  for (const std::string& token : specials) vocab[token] = vocab.size();
  for (const std::string& word : words) vocab[word] = vocab.size();
  OrderedJson json = tokenizer_json_head(specials);
  json["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", {{"Regex", word_pattern(words)}}}, {"behavior", "Isolated"}, {"invert", false}};
  json["post_processor"] = nullptr;
  json["decoder"] = {{"type", "Fuse"}};
  // No unknown token: a text with other characters is refused, here and by the libraries.
  json["model"] = {{"type", "WordLevel"}, {"vocab", std::move(vocab)}, {"unk_token", "<unk>"}};
  return json;
}

OrderedJson SmallVocab::tokenizer_config_json() const {
  check(*this);
  return {{"tokenizer_class", "PreTrainedTokenizerFast"},
          {"bos_token", nullptr},
          {"eos_token", kEosToken},
          {"pad_token", pad},
          {"unk_token", nullptr},
          {"clean_up_tokenization_spaces", false},
          {"model_max_length", model_max_length},
          {"chat_template", chat_template()}};
}

Tokenizer SmallVocab::tokenizer() const {
  return Tokenizer::from_json(Json(tokenizer_json()), Json(tokenizer_config_json()), "vocabulary");
}

void SmallVocab::save(const Path& model_dir) const {
  write_file(model_dir / "tokenizer.json", tokenizer_json().dump(1) + "\n");
  write_file(model_dir / "tokenizer_config.json", tokenizer_config_json().dump(1) + "\n");
}

SmallVocab arithmetic_vocab(int64_t model_max_length) {
  SmallVocab vocab;
  vocab.specials = {"<pad>", kEosToken, kUserToken, kThinkToken, kThinkEndToken, "<answer>", "</answer>"};
  vocab.words = {"+", "-", "*", "=", "(", ")", ",", " ", ">", "?", ":", ";", "✗", "✓"};
  for (int number = 0; number < 100; number++) vocab.words.push_back(std::to_string(number));
  vocab.model_max_length = model_max_length;
  return vocab;
}

}  // namespace tenth
