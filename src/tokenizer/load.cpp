// Reads tokenizer.json and tokenizer_config.json. What tenth does not do is refused by its name: a tokenizer that is
// almost right gives wrong ids in silence.
#include "tokenizer/nfc.h"
#include "tokenizer/parts.h"

namespace tenth {
namespace {

[[noreturn]] void refuse_type(const Field& field, const char* what_is) {
  fail(ErrorKind::kUnsupported, "{}: type {} is not supported ({})", field.where(), field.at("type").string(), what_is);
}

void read_added_tokens(const Field& list, TokenizerParts& parts) {
  if (list.is_null()) return;
  for (size_t i = 0; i < list.size(); i++) {
    const Field token = list.at(i);
    const std::string& text = token.at("content").string();
    require(!text.empty(), ErrorKind::kInput, "{}: content: expected a text, got an empty one", token.where());
    for (const char* key : {"single_word", "lstrip", "rstrip"})
      require(!token.at(key).boolean(false), ErrorKind::kUnsupported, "{}: {} is not supported", token.where(), key);
    const auto id = int32_t(token.at("id").integer(0, Vocabulary::kMaxId));
    const bool special = token.at("special").boolean(false);
    parts.vocabulary.add(text, id, token.where());
    if (special) parts.vocabulary.mark_special(id);
    const bool normalized = token.at("normalized").boolean(!special);
    if (normalized)
      parts.added_normalized.add(parts.nfc ? to_nfc(text) : text, id);
    else
      parts.added.add(text, id);
  }
  parts.added.build();
  parts.added_normalized.build();
}

bool reads_nfc(const Field& field, int depth = 0) {
  if (field.is_null()) return false;
  require(depth < 8, ErrorKind::kInput, "{}: expected at most 8 sequences within each other", field.where());
  const std::string& type = field.at("type").string();
  if (type == "NFC") return true;
  if (type != "Sequence") refuse_type(field, "NFC and Sequence are");
  bool nfc = false;
  const Field list = field.at("normalizers");
  for (size_t i = 0; i < list.size(); i++) nfc |= reads_nfc(list.at(i), depth + 1);
  return nfc;
}

void read_model(const Field& model, const Field& decoder, TokenizerParts& parts) {
  const std::string& type = model.at("type").string();
  const bool byte_level = parts.pre_tokenizer->byte_level();
  const std::string decoder_type = decoder.is_null() ? "null" : decoder.at("type").string();
  if (type == "BPE") {
    require(byte_level && decoder_type == "ByteLevel", ErrorKind::kUnsupported,
            "{}: BPE is only supported with ByteLevel as pre_tokenizer and decoder", model.where());
    parts.bpe.emplace(parts.vocabulary, model);
  } else if (type == "WordLevel") {
    require(!byte_level && decoder_type == "Fuse", ErrorKind::kUnsupported,
            "{}: WordLevel is only supported without ByteLevel and with decoder Fuse", model.where());
    parts.unknown = parts.vocabulary.find(model.at("unk_token").string());
  } else {
    refuse_type(model, "BPE and WordLevel are");
  }
}

// {"SpecialToken": {"id": name}} or {"Sequence": {"id": "A"}}: tokens before and behind the one text.
void read_template(const Field& field, TokenizerParts& parts) {
  const Field single = field.at("single"), tokens = field.at("special_tokens");
  bool behind = false;
  for (size_t i = 0; i < single.size(); i++) {
    const Field item = single.at(i);
    if (item.has("Sequence")) {
      require(!behind, ErrorKind::kInput, "{}: expected the text once", single.where());
      behind = true;
      continue;
    }
    const Field ids = tokens.at(item.at("SpecialToken").at("id").string().c_str()).at("ids");
    for (size_t k = 0; k < ids.size(); k++) {
      const int64_t id = ids.at(k).integer(0, Vocabulary::kMaxId);
      if (!parts.vocabulary.holds(id)) ids.at(k).wrong("the id of a token");
      (behind ? parts.suffix : parts.prefix).push_back(int32_t(id));
    }
  }
  require(behind, ErrorKind::kInput, "{}: expected the text (\"Sequence\") in it", single.where());
}

void read_post_processor(const Field& field, TokenizerParts& parts, int depth = 0) {
  if (field.is_null()) return;
  require(depth < 8, ErrorKind::kInput, "{}: expected at most 8 sequences within each other", field.where());
  const std::string& type = field.at("type").string();
  if (type == "ByteLevel") return;  // moves offsets only
  if (type == "TemplateProcessing") {
    require(parts.prefix.empty() && parts.suffix.empty(), ErrorKind::kUnsupported,
            "{}: a second TemplateProcessing is not supported", field.where());
    return read_template(field, parts);
  }
  if (type != "Sequence") refuse_type(field, "ByteLevel, TemplateProcessing and Sequence are");
  const Field list = field.at("processors");
  for (size_t i = 0; i < list.size(); i++) read_post_processor(list.at(i), parts, depth + 1);
}

// A token of tokenizer_config.json: its text, or an object with it.
Field text_of(const Field& token) { return token.json().is_object() ? token.at("content") : token; }

std::optional<int32_t> read_named_token(const Field& root, const char* key, const TokenizerParts& parts) {
  if (!root.has(key)) return std::nullopt;
  const Field text = text_of(root.at(key));
  const auto id = parts.vocabulary.find(text.string());
  if (!id) text.wrong("a token of tokenizer.json");
  return id;
}

}  // namespace

void read_bytes(TokenizerParts& parts) {
  for (int32_t id = 0; id < parts.vocabulary.size(); id++) {
    const std::string& text = parts.vocabulary.text(id);
    auto bytes = parts.bpe ? bytes_of_text(text) : std::nullopt;
    parts.bytes.push_back(bytes ? *bytes : text);
  }
}

void read_tokenizer_json(const Field& root, TokenizerParts& parts) {
  const Field model = root.at("model");
  parts.vocabulary.add_all(model.at("vocab"));
  parts.nfc = reads_nfc(root.at("normalizer"));
  read_added_tokens(root.at("added_tokens"), parts);
  parts.pre_tokenizer.emplace(root.at("pre_tokenizer"));
  read_model(model, root.at("decoder"), parts);
  read_bytes(parts);
  read_post_processor(root.at("post_processor"), parts);
}

void read_tokenizer_config(const Field& root, TokenizerParts& parts) {
  parts.bos = read_named_token(root, "bos_token", parts);
  parts.eos = read_named_token(root, "eos_token", parts);
  parts.pad = read_named_token(root, "pad_token", parts);
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"})
    if (root.has(key)) parts.named_tokens[key] = text_of(root.at(key)).string();
  if (!root.has("chat_template")) return;
  const Field chat = root.at("chat_template");
  if (!chat.json().is_array()) {
    parts.chat_templates["default"] = chat.string();
    return;
  }
  for (size_t i = 0; i < chat.size(); i++)
    parts.chat_templates[chat.at(i).at("name").string()] = chat.at(i).at("template").string();
}

}  // namespace tenth
