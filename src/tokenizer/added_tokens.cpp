#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <numeric>

namespace tenth {

AddedTokens::AddedTokens() : nodes_{{-1, 0}} { root_.fill(-1); }

int32_t AddedTokens::child(int32_t node, uint8_t byte) const {
  if (node == 0) return root_[byte];
  auto it = edges_.find(uint64_t(node) << 8 | byte);
  return it == edges_.end() ? -1 : it->second;
}

void AddedTokens::add(std::string_view text, int32_t id) {
  int32_t node = 0;
  for (auto it = text.rbegin(); it != text.rend(); ++it) {
    const auto byte = uint8_t(*it);
    int32_t to = child(node, byte);
    if (to < 0) {
      to = int32_t(nodes_.size());
      nodes_.push_back({.parent = node, .byte = byte, .depth = nodes_[size_t(node)].depth + 1});
      (node == 0 ? root_[byte] : edges_[uint64_t(node) << 8 | byte]) = to;
    }
    node = to;
  }
  nodes_[size_t(node)].id = id;
}

void AddedTokens::build() {
  std::vector<int32_t> order(nodes_.size());
  std::iota(order.begin(), order.end(), 0);
  auto depth = [&](int32_t n) { return nodes_[size_t(n)].depth; };
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return depth(a) < depth(b); });
  for (int32_t n : order) {
    Node& node = nodes_[size_t(n)];
    if (node.depth > 1) node.fail = next(nodes_[size_t(node.parent)].fail, node.byte);
    node.output = node.id >= 0 ? n : n == 0 ? -1 : nodes_[size_t(node.fail)].output;
  }
}

int32_t AddedTokens::next(int32_t node, uint8_t byte) const {
  for (;; node = nodes_[size_t(node)].fail) {
    const int32_t to = child(node, byte);
    if (to >= 0) return to;
    if (node == 0) return 0;
  }
}

std::vector<AddedTokens::Match> AddedTokens::find(std::string_view text) const {
  std::vector<Match> candidates;  // at most one for each place, from the last to the first
  if (empty()) return candidates;
  int32_t node = 0;
  for (size_t i = text.size(); i-- > 0;) {
    node = next(node, uint8_t(text[i]));
    const int32_t token = nodes_[size_t(node)].output;
    if (token >= 0) candidates.push_back({i, size_t(nodes_[size_t(token)].depth), nodes_[size_t(token)].id});
  }
  std::vector<Match> found;
  size_t free = 0;  // the end of the match before
  for (auto it = candidates.rbegin(); it != candidates.rend(); ++it) {
    if (it->begin < free) continue;
    found.push_back(*it);
    free = it->begin + it->length;
  }
  return found;
}

}  // namespace tenth
