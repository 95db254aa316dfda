// The table of tokens: id <-> text, as a tokenizer.json states it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/field.h"

namespace tenth {

class Vocabulary {
 public:
  // Ids past this are refused: the table is as long as the largest id.
  static constexpr int64_t kMaxId = (1 << 22) - 1;

  // where names file and field in errors. The same pair twice is fine; a text or an id given to another is kInput.
  void add(const std::string& text, int64_t id, const std::string& where);
  void add_all(const Field& vocab);  // {text: id}

  int32_t size() const { return int32_t(texts_.size()); }  // largest id + 1
  bool holds(int64_t id) const { return id >= 0 && id < size() && used_[size_t(id)]; }
  const std::string& text(int32_t id) const { return texts_[size_t(id)]; }
  std::optional<int32_t> find(const std::string& text) const;

  // Special tokens are control marks (end of sequence, ...): text alone never becomes one.
  void mark_special(int32_t id) { special_[size_t(id)] = true; }
  bool is_special(int32_t id) const { return special_[size_t(id)]; }

 private:
  std::vector<std::string> texts_;
  std::vector<bool> used_;  // a vocabulary may have holes
  std::vector<bool> special_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace tenth
