#include "checkpoint/gguf_vocabulary.h"

#include "base/json.h"
#include "checkpoint/safetensors_text.h"

namespace tenth {
namespace {

// How tokenizer.json cuts text before BPE, as one line for each step.
void describe(const Json& step, std::vector<std::string>& steps, int depth = 0) {
  if (!step.is_object() || depth > 8) return;
  const std::string type = step.value("type", "");
  if (type == "Sequence") {
    for (const Json& inner : step.value("pretokenizers", Json::array())) describe(inner, steps, depth + 1);
  } else if (type == "Split") {
    const Json& pattern = step.contains("pattern") ? step["pattern"] : Json();
    steps.push_back("split " + (pattern.is_object() ? pattern.value("Regex", "") : ""));
  } else if (type == "Digits") {
    steps.push_back(step.value("individual_digits", false) ? "digit" : "digits");
  } else if (type == "ByteLevel") {
    if (step.value("use_regex", true)) steps.push_back("words");
  } else {
    steps.push_back("?");
  }
}

// llama.cpp's names for ways to cut text (its converter goes by the ids of a text; these steps are what they come
// from).
std::string_view pre_tokenizer_name(const std::vector<std::string>& steps) {
  constexpr const char* kQwen =
      R"(split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  constexpr const char* kLlama3 =
      R"(split (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  using Steps = std::vector<std::string>;
  if (steps == Steps{kQwen}) return "qwen2";
  if (steps == Steps{kLlama3}) return "llama-bpe";
  if (steps == Steps{"digit", "words"}) return "smollm";
  if (steps == Steps{"words"}) return "gpt-2";
  if (steps.size() == 3 && steps[0] == R"(split \p{N}{1,3})" && steps[2].find("[A-Za-z]+|") != std::string::npos)
    return "deepseek-v3";
  if (steps.size() == 4 && steps[0] == R"(split [\p{P}$+<=>^~|]+)") return "default";
  if (steps.size() >= 4 && steps[0] == "split [\r\n]" && steps.back() == "digit")
    return steps[1] == R"(split \s?\p{L}+)" ? "deepseek-coder" : "deepseek-llm";
  return "";
}

// Fields of a tokenizer's files; errors name file and field.
const Json& field(const Json& json, const char* name, const std::string& where) {
  require(json.is_object() && json.contains(name), ErrorKind::kInput, "{}: field {}: expected one, found none", where,
          name);
  return json[name];
}

const std::string& text(const Json& json, const std::string& where) {
  require(json.is_string(), ErrorKind::kInput, "{}: expected a text, got {}", where, json.type_name());
  return json.get_ref<const std::string&>();
}

// Types of llama.cpp: how a token is matched and shown.
enum : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

struct Tokens {
  std::vector<std::string> texts;
  std::vector<int32_t> types;

  void set(const Json& id, const std::string& content, int32_t type, const std::string& where) {
    require(id.is_number_unsigned() && id.get<uint64_t>() < texts.size(), ErrorKind::kInput,
            "{}: token {}: expected an id below the model's vocab_size {}, got {}", where, name_text(content),
            texts.size(), id.dump().substr(0, 40));
    texts[id.get<size_t>()] = content;
    types[id.get<size_t>()] = type;
  }
  int32_t find(std::string_view content) const {
    for (size_t id = 0; id < texts.size(); id++) {
      if (texts[id] == content) return int32_t(id);
    }
    return -1;
  }
};

Tokens read_tokens(const Json& json, const std::string& where, int64_t size) {
  Tokens tokens{std::vector<std::string>(size_t(size)), std::vector<int32_t>(size_t(size), kUnused)};
  const Json& vocab = field(field(json, "model", where), "vocab", where);
  require(vocab.is_object(), ErrorKind::kInput, "{}: model.vocab: expected an object, got {}", where,
          vocab.type_name());
  for (const auto& [content, id] : vocab.items()) tokens.set(id, content, kNormal, where);
  for (const Json& token : json.value("added_tokens", Json::array())) {
    const bool special = token.is_object() && token.value("special", false);
    tokens.set(field(token, "id", where), text(field(token, "content", where), where + ": added_tokens"),
               special ? kControl : kUserDefined, where);
  }
  for (size_t id = 0; id < tokens.texts.size(); id++) {
    if (tokens.types[id] == kUnused) tokens.texts[id] = fmt::format("[PAD{}]", id);
  }
  return tokens;
}

std::vector<std::string> read_merges(const Json& json, const std::string& where) {
  std::vector<std::string> merges;
  const Json& list = field(field(json, "model", where), "merges", where);
  require(list.is_array(), ErrorKind::kInput, "{}: model.merges: expected an array, got {}", where, list.type_name());
  for (const Json& merge : list) {
    if (merge.is_array() && merge.size() == 2)
      merges.push_back(text(merge[0], where + ": model.merges") + " " + text(merge[1], where + ": model.merges"));
    else
      merges.push_back(text(merge, where + ": model.merges"));
  }
  return merges;
}

// "<bos>", or {"content": "<bos>", …}
std::string named_token(const Json& config, const char* name) {
  if (!config.is_object() || !config.contains(name)) return "";
  const Json& token = config[name];
  return token.is_string() ? token.get<std::string>() : token.is_object() ? token.value("content", "") : "";
}

// Whether tokenizer.json itself puts a token before a text (TemplateProcessing, as Llama 3 has it).
bool begins_with_token(const Json& processor, int depth = 0) {
  if (!processor.is_object() || depth > 8) return false;
  for (const Json& inner : processor.value("processors", Json::array())) {
    if (begins_with_token(inner, depth + 1)) return true;
  }
  const Json single = processor.value("single", Json::array());
  return single.is_array() && !single.empty() && single[0].is_object() && single[0].contains("SpecialToken");
}

std::string chat_template(const Path& folder, const Json& config) {
  if (std::filesystem::exists(folder / "chat_template.jinja")) return read_file(folder / "chat_template.jinja");
  const Json chat = config.is_object() ? config.value("chat_template", Json()) : Json();
  if (chat.is_string()) return chat.get<std::string>();
  if (chat.is_array()) {
    for (const Json& one : chat)
      if (one.is_object() && one.value("name", "") == "default") return one.value("template", "");
  }
  return "";
}

std::vector<GgufEntry> entries_of(const Path& folder, const Json& json, const Json& settings, const std::string& where,
                                  const ModelConfig& config) {
  const std::string model = field(json, "model", where).value("type", "BPE");
  require(model == "BPE", ErrorKind::kUnsupported, "{}: GGUF has no word for a vocabulary of type {}", where,
          name_text(model));
  std::vector<std::string> steps;
  describe(json.value("pre_tokenizer", Json()), steps);
  const std::string_view pre = pre_tokenizer_name(steps);
  require(!pre.empty(), ErrorKind::kUnsupported, "{}: pre_tokenizer: llama.cpp has no name for this one", where);

  const Tokens tokens = read_tokens(json, where, config.vocab_size);
  std::vector<GgufEntry> entries = {{"tokenizer.ggml.model", std::string("gpt2")},
                                    {"tokenizer.ggml.pre", std::string(pre)},
                                    {"tokenizer.ggml.tokens", tokens.texts},
                                    {"tokenizer.ggml.token_type", tokens.types},
                                    {"tokenizer.ggml.merges", read_merges(json, where)}};
  const auto add_id = [&](const char* key, const char* name, int64_t otherwise) {
    const std::string content = named_token(settings, name);
    const int64_t id = content.empty() ? otherwise : tokens.find(content);
    if (id >= 0 && id < config.vocab_size) entries.push_back({std::string("tokenizer.ggml.") + key, uint32_t(id)});
  };
  add_id("bos_token_id", "bos_token", config.bos_token_id);
  add_id("eos_token_id", "eos_token", config.eos_token_ids.empty() ? -1 : config.eos_token_ids[0]);
  add_id("padding_token_id", "pad_token", -1);
  const bool bos = settings.value("add_bos_token", false) || begins_with_token(json.value("post_processor", Json()));
  entries.push_back({"tokenizer.ggml.add_bos_token", bos});
  if (const std::string chat = chat_template(folder, settings); !chat.empty())
    entries.push_back({"tokenizer.chat_template", chat});
  return entries;
}

}  // namespace

std::vector<GgufEntry> gguf_vocabulary_entries(const Path& folder, const ModelConfig& config) {
  const Path file = folder / "tokenizer.json", config_file = folder / "tokenizer_config.json";
  const Json json = read_json(file);
  const Json settings = std::filesystem::exists(config_file) ? read_json(config_file) : Json::object();
  try {
    return entries_of(folder, json, settings, file.string(), config);
  } catch (const Json::exception& error) {  // a field of another type than these files have
    fail(ErrorKind::kInput, "{}: expected a tokenizer as the Hugging Face libraries write it: {}", file.string(),
         error.what());
  }
}

std::vector<GgufEntry> gguf_vocabulary_entries(const GgufMetadata& metadata) {
  std::vector<GgufEntry> entries;
  for (const auto& [key, value] : metadata.values()) {
    if (key.starts_with("tokenizer.")) entries.push_back({std::string(key), value});
  }
  return entries;
}

}  // namespace tenth
