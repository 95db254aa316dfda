// Training of a byte-level BPE vocabulary (Sennrich et al., "Neural machine translation of rare words with subword
// units", ACL 2016, over bytes as in GPT-2): the most frequent pair of neighbours becomes a token, again and again.
// Gives merge for merge what BpeTrainer of the Hugging Face `tokenizers` library gives for the same words.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/pre_tokenizer.h"

namespace tenth {

// How text is cut into words before training and encoding: the pattern of Qwen 2 and 3 (a word with the space before
// it, single digits, runs of signs, runs of spaces).
extern const char* const kSplitPattern;

// How often each word stands in the texts, counted on all cores; independent of their number and of any order.
class WordCounts {
 public:
  WordCounts();
  // Cuts each text (well formed UTF-8) into words and counts them. A word longer than kLongestWord bytes is no word of
  // a language and is left out: the time of a merge grows with its length.
  void add(std::span<const std::string> texts);
  static constexpr size_t kLongestWord = 65536;

  struct Word {
    std::string bytes;
    int64_t count;
  };
  std::vector<Word> words() const;  // in the order of their bytes

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Table = std::unordered_map<std::string, int64_t, Hash, std::equal_to<>>;
  void count(std::string_view text, Table& table) const;

  PreTokenizer pre_tokenizer_;
  std::vector<Table> tables_;  // one a part of the work
};

struct BpeTrainSettings {
  int64_t vocab_size = 0;             // special tokens and the 256 bytes included; fewer where the text has no more
  int64_t min_frequency = 0;          // pairs that stand less often are not merged
  std::vector<std::string> specials;  // the first ids; a merge that gives the text of one is that token
};

struct BpeVocabulary {
  std::vector<std::string> tokens;                  // by id, in the byte alphabet of bpe.h
  std::vector<std::pair<int32_t, int32_t>> merges;  // by rank
};

// The merge with the highest count is next; of equals that with the smaller left id, then the smaller right one.
// progress(tokens so far, vocab_size) is called now and then; what it throws ends the training. Throws kInput where
// vocab_size has no room for the special tokens and the bytes.
BpeVocabulary train_bpe(const std::vector<WordCounts::Word>& words, const BpeTrainSettings& settings,
                        const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace tenth
