#include <algorithm>
#include <cctype>

#include "base/threads.h"
#include "tokenizer/bpe_train.h"

namespace tenth {

const char* const kSplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

PreTokenizer split_words() {
  const Json json = {
      {"type", "Split"}, {"pattern", {{"Regex", kSplitPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  return PreTokenizer(Field(json, "pre_tokenizer"));
}

// Parts of about 1 MB for the cores. A cut between a newline and an ASCII letter changes no word of kSplitPattern: a
// word that takes a newline ends with a run of them, and no word looks ahead behind a newline but over spaces.
std::vector<std::string_view> cut(std::string_view text) {
  constexpr size_t kPart = 1 << 20;
  std::vector<std::string_view> parts;
  size_t begin = 0;
  for (size_t at = kPart; at < text.size(); at++) {
    if (text[at - 1] != '\n' || !std::isalpha(uint8_t(text[at]))) continue;
    parts.push_back(text.substr(begin, at - begin));
    begin = at;
    at += kPart;
  }
  parts.push_back(text.substr(begin));
  return parts;
}

}  // namespace

WordCounts::WordCounts() : pre_tokenizer_(split_words()), tables_(size_t(thread_count())) {}

void WordCounts::count(std::string_view text, Table& table) const {
  pre_tokenizer_.run(text, [&](std::string_view word) {
    if (word.size() > kLongestWord) return;
    const auto it = table.find(word);
    if (it != table.end())
      it->second++;
    else
      table.emplace(word, 1);
  });
}

void WordCounts::add(std::span<const std::string> texts) {
  std::vector<std::string_view> parts;
  for (const std::string& text : texts)
    for (const std::string_view part : cut(text)) parts.push_back(part);
  const size_t tables = tables_.size();
  parallel_each(int64_t(tables), [&](int64_t table) {
    for (size_t i = size_t(table); i < parts.size(); i += tables) count(parts[i], tables_[size_t(table)]);
  });
}

std::vector<WordCounts::Word> WordCounts::words() const {
  Table sums = tables_[0];
  for (size_t i = 1; i < tables_.size(); i++)
    for (const auto& [word, count] : tables_[i]) sums[word] += count;
  std::vector<Word> words;
  words.reserve(sums.size());
  for (const auto& [word, count] : sums) words.push_back({word, count});
  std::sort(words.begin(), words.end(), [](const Word& a, const Word& b) { return a.bytes < b.bytes; });
  return words;
}

}  // namespace tenth
