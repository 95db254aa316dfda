#include "tokenizer/vocabulary.h"

namespace tenth {

void Vocabulary::add(const std::string& text, int64_t id, const std::string& where) {
  require(id >= 0 && id <= kMaxId, ErrorKind::kInput, "{}: expected an id from 0 to {} for \"{}\", got {}", where,
          kMaxId, text, id);
  if (id >= size()) {
    texts_.resize(size_t(id) + 1);
    used_.resize(size_t(id) + 1);
    special_.resize(size_t(id) + 1);
  }
  const auto [it, fresh] = ids_.emplace(text, int32_t(id));
  require(it->second == id, ErrorKind::kInput, "{}: expected one id for the token \"{}\", got {} and {}", where, text,
          it->second, id);
  if (!fresh) return;
  require(!used_[size_t(id)], ErrorKind::kInput, "{}: expected one token with id {}, got \"{}\" and \"{}\"", where, id,
          texts_[size_t(id)], text);
  texts_[size_t(id)] = text;
  used_[size_t(id)] = true;
}

void Vocabulary::add_all(const Field& vocab) {
  if (!vocab.json().is_object()) vocab.wrong("an object of tokens and their ids");
  for (const auto& [text, id] : vocab.json().items()) {
    if (!id.is_number_integer()) Field(id, fmt::format("{}: \"{}\"", vocab.where(), text)).wrong("a whole number");
    add(text, Field(id, vocab.where()).integer(0, kMaxId), vocab.where());
  }
}

std::optional<int32_t> Vocabulary::find(const std::string& text) const {
  auto it = ids_.find(text);
  if (it == ids_.end()) return std::nullopt;
  return it->second;
}

}  // namespace tenth
