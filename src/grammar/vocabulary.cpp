#include "grammar/vocabulary.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "grammar/char_reader.h"

namespace tenth {

GrammarVocabulary::GrammarVocabulary(std::span<const std::string> bytes, std::span<const int32_t> ends,
                                     std::span<const int32_t> marks)
    : texts_(bytes.begin(), bytes.end()), ends_(ends.begin(), ends.end()) {
  for (int32_t id : ends_) {
    require(id >= 0 && size_t(id) < texts_.size(), ErrorKind::kInput,
            "grammar: expected the ends of a text below {}, the size of the vocabulary, got {}", texts_.size(), id);
    texts_[size_t(id)].clear();
  }
  require(marks.size() <= kLastMark - kFirstMark + 1, ErrorKind::kInput, "grammar: expected at most {} marks, got {}",
          kLastMark - kFirstMark + 1, marks.size());
  // No text has the byte that begins a mark, and no other token may spell one.
  for (std::string& text : texts_)
    if (text.find('\xFF') != text.npos) text.clear();
  for (int32_t id : marks) {
    require(id >= 0 && size_t(id) < texts_.size() && !is_end(id), ErrorKind::kInput,
            "grammar: expected marks that are tokens and end nothing, got {}", id);
    std::string character;
    append_code_point(kFirstMark + char32_t(marks_.size()), character);
    const std::string bytes = {'\xFF', char(marks_.size())};
    marks_.emplace_back(std::exchange(texts_[size_t(id)], bytes), character);
  }
  for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
  require(longest_ < UINT16_MAX, ErrorKind::kInput, "grammar: expected tokens of less than {} bytes, got one of {}",
          UINT16_MAX, longest_);
  build_tree();
  look_inside_strings();
}

bool GrammarVocabulary::is_end(int32_t id) const { return std::find(ends_.begin(), ends_.end(), id) != ends_.end(); }

std::string GrammarVocabulary::spelled(std::string_view text) const {
  std::string y;
  while (!text.empty()) {
    const std::pair<std::string, std::string>* here = nullptr;
    for (const auto& mark : marks_)
      if (text.starts_with(mark.first) && (!here || mark.first.size() > here->first.size())) here = &mark;
    y += here ? here->second : std::string(text.substr(0, 1));
    text.remove_prefix(here ? here->first.size() : 1);
  }
  return y;
}

void GrammarVocabulary::build_tree() {
  std::vector<int32_t> order(texts_.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](int32_t id) { return texts_[size_t(id)].empty(); });
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int c = texts_[size_t(a)].compare(texts_[size_t(b)]);
    return c != 0 ? c < 0 : a < b;
  });
  std::vector<uint32_t> path;  // nodes of the token before
  std::string_view before;
  auto leave = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].next = uint32_t(nodes_.size());
  };
  for (int32_t id : order) {
    const std::string_view text = texts_[size_t(id)];
    const size_t common =
        size_t(std::mismatch(before.begin(), before.end(), text.begin(), text.end()).first - before.begin());
    leave(common);
    for (size_t depth = common; depth < text.size(); depth++) {
      path.push_back(uint32_t(nodes_.size()));
      nodes_.push_back({0, uint32_t(tokens_.size()), uint16_t(depth + 1), uint8_t(text[depth])});
    }
    tokens_.push_back(id);
    before = text;
  }
  leave(0);
  nodes_.push_back({uint32_t(nodes_.size() + 1), uint32_t(tokens_.size()), 0, 0});  // the end
}

void GrammarVocabulary::look_inside_strings() {
  struct Reading {
    uint32_t partial = 0, characters = 0;  // finished
  };
  std::vector<Reading> path(longest_ + 1);
  for (auto& mask : inside_) mask.assign(mask_words(), 0);
  for (size_t i = 0; i < nodes().size();) {
    const Node& node = nodes_[i];
    const Reading& before = path[node.depth - 1];
    if (before.partial == 0 && node.byte == '"') {
      quotes_.push_back({uint32_t(i), before.characters});
      i = node.next;
      continue;
    }
    const CharStep step = read_byte(Spelling::kQuoted, before.partial, node.byte);
    if (step.kind == CharStep::Kind::kRefused) {
      i = node.next;
      continue;
    }
    const bool done = step.kind == CharStep::Kind::kDone;
    path[node.depth] = {done ? 0 : step.partial, before.characters + (done ? 1 : 0)};
    const uint32_t begun = before.characters + 1;
    for (int32_t id : tokens_of(i)) {
      const uint32_t bit = 1u << (id % 32);
      for (size_t n = begun; n <= kShort; n++) inside_[n][size_t(id) / 32] |= bit;
      if (begun >= kShort) {
        inside_[kShort][size_t(id) / 32] |= bit;
        long_.push_back({begun, id});
      }
    }
    i++;
  }
}

void GrammarVocabulary::add_inside(uint64_t characters, std::span<uint32_t> mask) const {
  const std::vector<uint32_t>& tokens = inside_[std::min<uint64_t>(characters, kShort)];
  if (characters < kShort) {
    for (size_t i = 0; i < tokens.size(); i++) mask[i] |= tokens[i];
    return;
  }
  std::vector<int32_t> too_long;
  for (const Long& token : long_)
    if (token.characters > characters && !(mask[size_t(token.token) / 32] >> (token.token % 32) & 1))
      too_long.push_back(token.token);
  for (size_t i = 0; i < tokens.size(); i++) mask[i] |= tokens[i];
  for (int32_t id : too_long) mask[size_t(id) / 32] &= ~(1u << (id % 32));
}

}  // namespace tenth
