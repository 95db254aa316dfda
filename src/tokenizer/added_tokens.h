// Finds added tokens in text: leftmost, the longest of those that begin there, none overlapping.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tenth {

// An Aho-Corasick automaton ("Efficient string matching", CACM 1975) over the reversed tokens. Run over the text from
// its end, it tells for each place the longest token that begins there: time linear in the text, whatever the tokens.
class AddedTokens {
 public:
  struct Match {
    size_t begin;
    size_t length;
    int32_t id;
  };

  AddedTokens();
  void add(std::string_view text, int32_t id);  // text must not be empty
  void build();                                 // after the last add, before the first find
  bool empty() const { return nodes_.size() == 1; }
  std::vector<Match> find(std::string_view text) const;

 private:
  struct Node {
    int32_t parent;
    uint8_t byte;         // on the edge from the parent
    int32_t fail = 0;     // the longest proper suffix that is a node too
    int32_t output = -1;  // the node of the longest token that ends here, itself or along the fail links
    int32_t id = -1;      // the token that ends here
    int32_t depth = 0;
  };
  int32_t child(int32_t node, uint8_t byte) const;  // -1 where there is none
  int32_t next(int32_t node, uint8_t byte) const;

  std::vector<Node> nodes_;  // a parent stands before its children
  std::array<int32_t, 256> root_;
  std::unordered_map<uint64_t, int32_t> edges_;  // node * 256 + byte -> node, but for the root
};

}  // namespace tenth
