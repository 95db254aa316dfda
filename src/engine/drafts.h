// Guesses for the tokens that come next, for speculation: whatever they are, what is generated stays the same.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace tenth {

// Prompt lookup (A. Saxena, "Prompt Lookup Decoding", 2023): what stood behind the last ids the last time that they
// stood in prompt + output. Of the last 4 ids, else 3, else 2, the latest earlier place counts; where that is so near
// that its text runs into the end, the guess repeats it. drafts: at most `most` ids, none where no place is found. Time
// is linear in the text.
void lookup_drafts(std::span<const int32_t> prompt, std::span<const int32_t> output, int64_t most,
                   std::vector<int32_t>& drafts);

}  // namespace tenth
