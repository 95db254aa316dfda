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

}  // namespace tenth
