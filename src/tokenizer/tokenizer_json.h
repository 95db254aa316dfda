// Writing tokenizer.json: what all that tenth writes have in common.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace tenth {

// version … normalizer (none), with the special tokens as ids 0, 1, …; the caller adds pre_tokenizer, post_processor,
// decoder and model, in this order.
OrderedJson tokenizer_json_head(const std::vector<std::string>& specials);

// The model "BPE" of vocab (token to id) and merges ([left, right]).
OrderedJson bpe_model_json(OrderedJson vocab, OrderedJson merges, bool ignore_merges);
// The step, or decoder, "ByteLevel".
OrderedJson byte_level_json(bool use_regex);
// A post-processor that puts a token before each text.
OrderedJson token_before_text_json(const std::string& token, int64_t id);

}  // namespace tenth
