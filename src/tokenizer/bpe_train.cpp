#include "tokenizer/bpe_train.h"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/threads.h"
#include "tokenizer/bpe.h"
#include "tokenizer/vocabulary.h"

namespace tenth {
namespace {

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }
int32_t left_of(uint64_t pair) { return int32_t(pair >> 32); }
int32_t right_of(uint64_t pair) { return int32_t(pair & UINT32_MAX); }

// One training. It keeps to the library's bookkeeping where that shows in the merges: a pair's count is not reset when
// the pair is merged, and a pair that comes up again (its token can be made from several pairs) stands in the queue a
// second time, with the words where it is new.
class Training {
 public:
  Training(const std::vector<WordCounts::Word>& words, const BpeTrainSettings& settings) : settings_(settings) {
    for (const std::string& special : settings.specials) token_of(special);
    const std::array<int32_t, 256> byte_ids = add_alphabet();
    require(int64_t(tokens_.size()) <= settings.vocab_size && settings.vocab_size <= Vocabulary::kMaxId + 1,
            ErrorKind::kInput, "vocabulary size: expected {} (special tokens and bytes) to {}, got {}", tokens_.size(),
            Vocabulary::kMaxId + 1, settings.vocab_size);
    for (const auto& word : words) {
      words_.push_back({int64_t(symbols_.size()), int32_t(word.bytes.size()), word.count});
      for (const char byte : word.bytes) symbols_.push_back(byte_ids[uint8_t(byte)]);
    }
    count_pairs();
  }

  BpeVocabulary run(const std::function<void(int64_t, int64_t)>& progress) {
    while (int64_t(tokens_.size()) < settings_.vocab_size && !queue_.empty()) {
      Candidate top = queue_.front();
      std::pop_heap(queue_.begin(), queue_.end(), later);
      queue_.pop_back();
      const int64_t count = pair_counts_[size_t(pair_index_.at(top.pair))];
      if (top.count != count) {
        top.count = count;
        push(top);
        continue;
      }
      if (count < 1 || count < settings_.min_frequency) break;
      merge(top);
      if (progress && merges_.size() % 64 == 0) progress(int64_t(tokens_.size()), settings_.vocab_size);
    }
    if (progress) progress(settings_.vocab_size, settings_.vocab_size);
    return finish();
  }

 private:
  struct Word {
    int64_t begin;  // in symbols_
    int32_t length;
    int64_t count;
  };
  struct Candidate {
    int64_t count;
    uint64_t pair;
    int32_t places;  // in places_: the words that may hold the pair
  };

  static bool later(const Candidate& a, const Candidate& b) {
    if (a.count != b.count) return a.count < b.count;
    return a.pair != b.pair ? a.pair > b.pair : a.places > b.places;
  }

  void push(const Candidate& candidate) {
    queue_.push_back(candidate);
    std::push_heap(queue_.begin(), queue_.end(), later);
  }

  int32_t token_of(const std::string& text) {
    const auto [it, is_new] = ids_.emplace(text, int32_t(tokens_.size()));
    if (is_new) tokens_.push_back(text);
    return it->second;
  }

  // The bytes' characters in the order of their code points.
  std::array<int32_t, 256> add_alphabet() {
    std::vector<std::string> texts;
    for (int b = 0; b < 256; b++) texts.push_back(byte_text(uint8_t(b)));
    std::vector<std::string> sorted = texts;  // UTF-8 sorts as its code points do
    std::sort(sorted.begin(), sorted.end());
    for (const std::string& text : sorted) token_of(text);
    std::array<int32_t, 256> ids;
    for (int b = 0; b < 256; b++) ids[size_t(b)] = token_of(texts[size_t(b)]);
    return ids;
  }

  // A change of a pair's count in one word; a word where the pair is new is remembered until queue_changes.
  void change(int32_t left, int32_t right, int64_t by, int32_t word) {
    const auto [it, is_new] = pair_index_.emplace(pair_key(left, right), int32_t(pair_counts_.size()));
    if (is_new) pair_counts_.push_back(0);
    pair_counts_[size_t(it->second)] += by;
    if (by > 0) touched_.push_back({it->first, word});
  }

  void queue_changes() {
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (size_t begin = 0, end = 0; begin < touched_.size(); begin = end) {
      const uint64_t pair = touched_[begin].first;
      while (end < touched_.size() && touched_[end].first == pair) end++;
      const int64_t count = pair_counts_[size_t(pair_index_.at(pair))];
      if (count <= 0) continue;
      std::vector<int32_t> places;
      places.reserve(end - begin);
      for (size_t i = begin; i < end; i++) places.push_back(touched_[i].second);
      places_.push_back(std::move(places));
      push({count, pair, int32_t(places_.size() - 1)});
    }
    touched_.clear();
  }

  void count_pairs() {
    for (size_t w = 0; w < words_.size(); w++) {
      const int32_t* symbol = symbols_.data() + words_[w].begin;
      for (int32_t i = 0; i + 1 < words_[w].length; i++) change(symbol[i], symbol[i + 1], words_[w].count, int32_t(w));
    }
    queue_changes();
  }

  void merge(const Candidate& top) {
    const int32_t left = left_of(top.pair), right = right_of(top.pair);
    const int32_t id = token_of(tokens_[size_t(left)] + tokens_[size_t(right)]);
    merges_.push_back({left, right});
    for (const int32_t word : std::exchange(places_[size_t(top.places)], {})) merge_word(word, left, right, id);
    queue_changes();
  }

  void merge_word(int32_t index, int32_t left, int32_t right, int32_t id) {
    Word& word = words_[size_t(index)];
    int32_t* symbol = symbols_.data() + word.begin;
    int32_t kept = 0;
    for (int32_t i = 0; i < word.length; i++) {
      if (symbol[i] != left || i + 1 == word.length || symbol[i + 1] != right) {
        symbol[kept++] = symbol[i];
        continue;
      }
      if (kept > 0) {
        change(symbol[kept - 1], left, -word.count, index);
        change(symbol[kept - 1], id, word.count, index);
      }
      if (i + 2 < word.length) {
        change(right, symbol[i + 2], -word.count, index);
        change(id, symbol[i + 2], word.count, index);
      }
      symbol[kept++] = id;
      i++;
    }
    word.length = kept;
  }

  // Of a pair that was merged twice the later rank counts, as in the library's table of merges.
  BpeVocabulary finish() {
    std::unordered_set<uint64_t> seen;
    BpeVocabulary result;
    for (auto it = merges_.rbegin(); it != merges_.rend(); ++it)
      if (seen.insert(pair_key(it->first, it->second)).second) result.merges.push_back(*it);
    std::reverse(result.merges.begin(), result.merges.end());
    result.tokens = std::move(tokens_);
    return result;
  }

  const BpeTrainSettings& settings_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::pair<int32_t, int32_t>> merges_;
  std::vector<int32_t> symbols_;  // of all words, end to end; a word shrinks in its place
  std::vector<Word> words_;
  std::unordered_map<uint64_t, int32_t> pair_index_;  // in pair_counts_
  std::vector<int64_t> pair_counts_;
  std::vector<std::pair<uint64_t, int32_t>> touched_;  // pair, word
  std::vector<std::vector<int32_t>> places_;
  std::vector<Candidate> queue_;  // a heap
};

}  // namespace

BpeVocabulary train_bpe(const std::vector<WordCounts::Word>& words, const BpeTrainSettings& settings,
                        const std::function<void(int64_t, int64_t)>& progress) {
  return Training(words, settings).run(progress);
}

}  // namespace tenth
