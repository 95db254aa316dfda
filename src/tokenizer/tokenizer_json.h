// Writing tokenizer.json: what all that tenth writes have in common.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"

namespace tenth {

// version … normalizer (none), with the special tokens as ids 0, 1, …; the caller adds pre_tokenizer, post_processor,
// decoder and model, in this order.
OrderedJson tokenizer_json_head(const std::vector<std::string>& specials);

}  // namespace tenth
