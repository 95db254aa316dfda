// The tokens of a tokenizer as a tree over their bytes, for masks: all tokens that begin alike are looked at together.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tenth {

// Immutable; may be used by many threads at once. About 12 bytes a byte of the vocabulary.
class GrammarVocabulary {
 public:
  // bytes[id]: what the token adds to the text; empty for a token that no grammar may ask for (special tokens,
  // padding). ends: the ids that end a text, allowed where the grammar is complete. marks: ids, at most 256, that are
  // never part of a text, though they have bytes: those that frame calls of tools. Only a grammar that names them
  // (spelled) takes them, and what it names so is not taken in other tokens of the same bytes.
  GrammarVocabulary(std::span<const std::string> bytes, std::span<const int32_t> ends,
                    std::span<const int32_t> marks = {});

  // UTF-8 with the texts of marks, the longest first, replaced by the character that stands for each (char_dfa.h).
  std::string spelled(std::string_view text) const;

  size_t size() const { return texts_.size(); }             // ids
  size_t mask_words() const { return (size() + 31) / 32; }  // 32-bit words of a mask: bit id % 32 of word id / 32
  std::span<const int32_t> ends() const { return ends_; }
  bool is_end(int32_t id) const;
  const std::string& bytes(int32_t id) const { return texts_[size_t(id)]; }

  // The tree in the order of a walk down: a node, its subtree, the next.
  struct Node {
    uint32_t next;         // behind the subtree
    uint32_t first_token;  // into tokens(): up to the next node's
    uint16_t depth;        // bytes from the root, from 1
    uint8_t byte;
  };
  std::span<const Node> nodes() const { return {nodes_.data(), nodes_.size() - 1}; }
  std::span<const int32_t> tokens_of(size_t node) const {
    return {tokens_.data() + nodes_[node].first_token, tokens_.data() + nodes_[node + 1].first_token};
  }
  std::span<const int32_t> tokens_below(size_t node) const {  // its own included
    return {tokens_.data() + nodes_[node].first_token, tokens_.data() + nodes_[nodes_[node].next].first_token};
  }
  size_t longest() const { return longest_; }  // token, in bytes

  // The inside of a JSON string without further constraint, looked at once for all grammars: the tokens that lie within
  // it, by characters begun, and the nodes that end with its closing quote.
  struct Quote {
    uint32_t node;
    uint32_t characters;  // before the quote
  };
  std::span<const Quote> quotes() const { return quotes_; }  // by node
  // ORs the tokens of at most `characters` characters into the mask.
  void add_inside(uint64_t characters, std::span<uint32_t> mask) const;

 private:
  void build_tree();
  void look_inside_strings();

  std::vector<std::string> texts_;
  std::vector<std::pair<std::string, std::string>> marks_;  // their texts and characters
  std::vector<int32_t> ends_, tokens_;
  std::vector<Node> nodes_;
  size_t longest_ = 0;
  std::vector<Quote> quotes_;
  static constexpr size_t kShort = 16;
  std::vector<uint32_t> inside_[kShort + 1];  // masks: of 0..kShort-1 characters at most, and of any number
  struct Long {
    uint32_t characters;
    int32_t token;
  };
  std::vector<Long> long_;  // tokens inside of kShort characters and more
};

}  // namespace tenth
