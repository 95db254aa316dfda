// Tokenizers from GGUF files. Such a file names how text is split (tokenizer.ggml.pre) instead of saying it; the steps
// of each name are those of the models' own tokenizer.json.
#include "tokenizer/gguf_vocabulary.h"

#include "base/utf8.h"
#include "tokenizer/parts.h"
#include "tokenizer/tokenizer.h"

namespace tenth {
namespace {

// Letters with a case, as the files of DeepSeek LLM (V2) list them.
constexpr const char* kCasedLetters =
    R"(A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF})"
    R"(\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1})"
    R"(\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5})"
    R"(\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A})"
    R"(\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B})"
    R"(\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC})"
    R"(\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107})"
    R"(\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134})"
    R"(\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4})"
    R"(\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787})"
    R"(\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A})"
    R"(\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2})"
    R"(\x{118A0}-\x{118DF}\x{1E900}-\x{1E943})";
constexpr const char* kIdeographs = R"([一-龥\x{800}-一가-\x{D7FF}]+)";
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Split {
  std::vector<std::string> names;     // of tokenizer.ggml.pre
  std::vector<std::string> patterns;  // each cuts the pieces that the one before leaves
  bool nfc = false, ignore_merges = false, add_bos = false;
};

const std::vector<Split>& splits() {
  static const std::vector<Split> table = {
      {{"deepseek-llm"},
       {"[\\r\\n]", std::string("\\s?[") + kCasedLetters + "]+", R"(\s?[!-/:-~！-／：-～‘-‟\x{3000}-。]+)", "\\s+$",
        kIdeographs, "\\p{N}"},
       false,
       false,
       true},
      {{"deepseek-coder"}, {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", kIdeographs, "\\p{N}"}, false, false, true},
      {{"deepseek-v3"}, {"\\p{N}{1,3}", R"([一-龥\x{3040}-ゟ゠-ヿ]+)", kDeepSeekV3}, false, false, true},
      {{"qwen2", "deepseek-r1-qwen"}, {kQwen2}, true},
      {{"llama-bpe", "llama3", "llama-v3"}, {kLlama3}, false, true, true},
      {{"smollm", "starcoder"}, {"\\p{N}", kGpt2}},
      {{"gpt-2"}, {kGpt2}},
      {{"default", ""}, {R"([\p{P}$+<=>^~|]+)", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}}};
  return table;
}

const Split& split_of(const GgufVocabulary& vocabulary) {
  std::string known;
  for (const Split& split : splits())
    for (const std::string& name : split.names) {
      if (name == vocabulary.pre) return split;
      if (!name.empty()) known += (known.empty() ? "" : ", ") + name;
    }
  fail(ErrorKind::kUnsupported, "{}: tokenizer.ggml.pre: {} is not supported ({} are)", vocabulary.where,
       vocabulary.pre, known);
}

Json pre_tokenizer_of(const Split& split) {
  Json steps = Json::array();
  for (const std::string& pattern : split.patterns)
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

void require_utf8(std::string_view text, const GgufVocabulary& vocabulary, const char* key, size_t index) {
  require(well_formed_prefix(text) == text.size(), ErrorKind::kInput, "{}: {}[{}]: expected UTF-8, got other bytes",
          vocabulary.where, key, index);
}

void read_tokens(const GgufVocabulary& from, TokenizerParts& parts) {
  constexpr int64_t kControl = 3, kUserDefined = 4;
  require(from.types.empty() || from.types.size() == from.tokens.size(), ErrorKind::kInput,
          "{}: tokenizer.ggml.token_type: expected one for each of {} tokens, got {}", from.where, from.tokens.size(),
          from.types.size());
  for (size_t i = 0; i < from.tokens.size(); i++) {
    require_utf8(from.tokens[i], from, "tokenizer.ggml.tokens", i);
    const std::string text(from.tokens[i]);
    parts.vocabulary.add(text, int64_t(i), from.where + ": tokenizer.ggml.tokens");
    const int64_t type = from.types.empty() ? 1 : from.types[i];
    if (type == kControl) parts.vocabulary.mark_special(int32_t(i));
    if ((type == kControl || type == kUserDefined) && !text.empty()) parts.added.add(text, int32_t(i));
  }
  parts.added.build();
  parts.added_normalized.build();
}

std::optional<int32_t> named(const GgufVocabulary& from, const std::optional<int64_t>& id, const char* key,
                             TokenizerParts& parts) {
  if (!id) return std::nullopt;
  require(parts.vocabulary.holds(*id), ErrorKind::kInput, "{}: tokenizer.ggml.{}_token_id: expected 0 to {}, got {}",
          from.where, key, parts.vocabulary.size() - 1, *id);
  parts.named_tokens[fmt::format("{}_token", key)] = parts.vocabulary.text(int32_t(*id));
  return int32_t(*id);
}

Json merges_of(const GgufVocabulary& from) {
  Json::array_t list;
  list.reserve(from.merges.size());
  for (size_t i = 0; i < from.merges.size(); i++) {
    require_utf8(from.merges[i], from, "tokenizer.ggml.merges", i);
    list.emplace_back(std::string(from.merges[i]));
  }
  return list;
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufVocabulary& from) {
  require(from.model == "gpt2", ErrorKind::kUnsupported,
          "{}: tokenizer.ggml.model: {} is not supported (gpt2, byte-level BPE, is)", from.where, from.model);
  const Split& split = split_of(from);
  auto parts = std::make_shared<TokenizerParts>();
  parts->where = from.where;
  read_tokens(from, *parts);
  parts->nfc = split.nfc;
  const Json pre_tokenizer = pre_tokenizer_of(split);
  parts->pre_tokenizer.emplace(Field(pre_tokenizer, from.where + ": tokenizer.ggml.pre"));
  const Json model = {{"ignore_merges", split.ignore_merges}, {"merges", merges_of(from)}};
  parts->bpe.emplace(parts->vocabulary, Field(model, from.where + ": tokenizer.ggml"));
  read_bytes(*parts);
  parts->bos = named(from, from.bos, "bos", *parts);
  parts->eos = named(from, from.eos, "eos", *parts);
  parts->pad = named(from, from.pad, "pad", *parts);
  if (from.add_bos.value_or(split.add_bos) && parts->bos) parts->prefix = {*parts->bos};
  if (!from.chat_template.empty()) parts->chat_templates["default"] = from.chat_template;
  return Tokenizer(std::move(parts));
}

}  // namespace tenth
