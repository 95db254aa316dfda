#include "tokenizer/bpe.h"

#include <algorithm>

#include "base/utf8.h"

namespace tenth {
namespace {

struct ByteAlphabet {
  std::array<char32_t, 256> point;
  std::array<int16_t, 324> byte;  // -1: not of the alphabet
  ByteAlphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (int b = 0; b < 256; b++) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
      point[size_t(b)] = printable ? char32_t(b) : next++;
      byte[point[size_t(b)]] = int16_t(b);
    }
  }
};

const ByteAlphabet& alphabet() {
  static const ByteAlphabet table;
  return table;
}

bool later(const Bpe::Scratch::Candidate& a, const Bpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

}  // namespace

std::string byte_text(uint8_t byte) {
  std::string text;
  append_code_point(alphabet().point[byte], text);
  return text;
}

std::optional<std::string> bytes_of_text(std::string_view text) {
  std::string bytes;
  for (size_t position = 0; position < text.size();) {
    const char32_t point = next_code_point(text, position);
    if (point >= alphabet().byte.size() || alphabet().byte[point] < 0) return std::nullopt;
    bytes += char(alphabet().byte[point]);
  }
  return bytes;
}

Bpe::Bpe(const Vocabulary& vocabulary, const Field& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    require(!model.has(key) || model.at(key).string().empty(), ErrorKind::kUnsupported, "{}: {} is not supported",
            model.where(), key);
  require(!model.at("byte_fallback").boolean(false), ErrorKind::kUnsupported, "{}: byte_fallback is not supported",
          model.where());
  require(!model.has("dropout") || model.at("dropout").json() == 0.0, ErrorKind::kUnsupported,
          "{}: dropout is not supported", model.where());
  for (int b = 0; b < 256; b++) {
    const auto id = vocabulary.find(byte_text(uint8_t(b)));
    const bool printable = b >= ' ' && b <= '~';
    require(id.has_value() || !printable, ErrorKind::kInput,
            "{}: vocab: expected a token for each printable byte, got none for byte {} (\"{}\")", model.where(), b,
            byte_text(uint8_t(b)));
    byte_ids_[size_t(b)] = id.value_or(-1);
  }
  read_merges(vocabulary, model.at("merges"));
  if (!model.at("ignore_merges").boolean(false)) return;
  for (int32_t id = 0; id < vocabulary.size(); id++)
    if (auto bytes = bytes_of_text(vocabulary.text(id)); bytes && !vocabulary.is_special(id))
      whole_pieces_.emplace(*bytes, id);
}

void Bpe::read_merges(const Vocabulary& vocabulary, const Field& merges) {
  const size_t count = merges.size();
  merges_.reserve(count);
  auto id_of = [&](const std::string& text, size_t rank) {
    const auto id = vocabulary.find(text);
    require(id.has_value(), ErrorKind::kInput, "{}[{}]: expected tokens of the vocabulary, got \"{}\"", merges.where(),
            rank, text);
    return *id;
  };
  for (size_t rank = 0; rank < count; rank++) {
    const Json& merge = merges.json()[rank];
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>();
      right = merge[1].get<std::string>();
    } else {
      const std::string* text = merge.get_ptr<const std::string*>();
      const size_t space = text ? text->find(' ') : std::string::npos;
      if (space == std::string::npos || text->find(' ', space + 1) != std::string::npos)
        merges.at(rank).wrong("two tokens (\"a b\" or [\"a\", \"b\"])");
      left = text->substr(0, space);
      right = text->substr(space + 1);
    }
    const int32_t left_id = id_of(left, rank), right_id = id_of(right, rank);  // in order: the first unknown is named
    merges_[pair_key(left_id, right_id)] = {int32_t(rank), id_of(left + right, rank)};
  }
}

const Bpe::Merge* Bpe::find(int32_t left, int32_t right) const {
  auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void Bpe::push(int32_t position, Scratch& scratch) const {
  if (position < 0) return;
  const auto& left = scratch.symbols[size_t(position)];
  if (left.next < 0) return;
  const Merge* merge = find(left.id, scratch.symbols[size_t(left.next)].id);
  if (!merge) return;
  scratch.heap.push_back({merge->rank, position, merge->id});
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), later);
}

void Bpe::encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (!whole_pieces_.empty())
    if (auto it = whole_pieces_.find(std::string(piece)); it != whole_pieces_.end()) return ids.push_back(it->second);
  require(piece.size() < size_t(INT32_MAX), ErrorKind::kInput, "text: expected less than 2 GiB, got {} bytes",
          piece.size());
  auto& symbols = scratch.symbols;
  symbols.clear();
  scratch.heap.clear();
  for (const char byte : piece) {
    const auto i = int32_t(symbols.size());
    if (const int32_t id = byte_ids_[uint8_t(byte)]; id >= 0) symbols.push_back({id, i - 1, i + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;
  const auto n = int32_t(symbols.size());
  for (int32_t i = 0; i + 1 < n; i++) push(i, scratch);
  while (!scratch.heap.empty()) {
    const auto top = scratch.heap.front();
    std::pop_heap(scratch.heap.begin(), scratch.heap.end(), later);
    scratch.heap.pop_back();
    auto& left = symbols[size_t(top.position)];
    if (left.id < 0 || left.next < 0) continue;
    auto& right = symbols[size_t(left.next)];
    const Merge* merge = find(left.id, right.id);
    if (!merge || merge->id != top.id) continue;  // a neighbour has changed since
    left.id = top.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[size_t(left.next)].previous = top.position;
    push(left.previous, scratch);
    push(top.position, scratch);
  }
  for (int32_t i = 0; i >= 0 && i < n; i = symbols[size_t(i)].next) ids.push_back(symbols[size_t(i)].id);
}

}  // namespace tenth
