// A tokenizer.json small enough to change by hand: byte-level BPE with a few merges and two added tokens.
#pragma once
#include <string>

#include "base/error.h"
#include "tokenizer/bpe.h"
#include "tokenizer/tokenizer.h"

namespace tenth {

inline Json tiny_bpe() {
  Json vocab;
  for (int b = 0; b < 256; b++) vocab[byte_text(uint8_t(b))] = b;
  const char* merges[] = {"a a", "aa aa", "aaaa aaaa", "Ġ Ġ", "ĠĠ ĠĠ", "Ġ a", "l l"};
  int id = 256;
  Json list = Json::array();
  for (std::string merge : merges) {
    list.push_back(merge);
    merge.erase(merge.find(' '), 1);
    vocab[merge] = id++;
  }
  Json added = Json::array();
  for (const char* text : {"<s>", "<think>"})
    added.push_back({{"id", id++}, {"content", text}, {"special", true}, {"normalized", false}});
  return {{"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", R"( ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s*[\r\n]+|\s+(?!\S)|\s+)"}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single",
             {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {263}}, {"tokens", {"<s>"}}}}}}}},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", list}}}};
}

inline Tokenizer tiny_tokenizer() { return Tokenizer::from_json(tiny_bpe(), Json(), "tiny"); }

// The message of the Error that work throws; its kind is put before it. "" where it throws none.
template <class Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const Error& e) {
    const char* kind = e.kind() == ErrorKind::kInput         ? "input"
                       : e.kind() == ErrorKind::kUnsupported ? "unsupported"
                                                             : "other";
    return std::string(kind) + ": " + e.what();
  }
  return "";
}

}  // namespace tenth
