#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/parts.h"

namespace tenth {
namespace {

// One call of encode.
class Encoder {
 public:
  Encoder(const TokenizerParts& parts, bool allow_special) : parts_(parts), allow_special_(allow_special) {}
  Encoder(const TokenizerParts& parts, std::span<const int32_t> framing)
      : parts_(parts), allow_special_(true), framing_(framing) {}

  std::vector<int32_t> run(std::string_view text) {
    raw({text, nullptr, 0});
    return std::move(ids_);
  }
  std::vector<int32_t> run(const MarkedText& text) {
    raw({text.text(), &text, 0});
    return std::move(ids_);
  }

 private:
  // A part of a text; marks: of the whole text, in which it begins at offset. Null where all is of one origin.
  struct Part {
    std::string_view text;
    const MarkedText* marks;
    size_t offset;
    Part between(size_t begin, size_t end) const { return {text.substr(begin, end - begin), marks, offset + begin}; }
  };

  void raw(const Part& whole) {
    between(parts_.added, whole, [&](const Part& part) {
      if (!parts_.nfc) return normalized(part);
      const std::string nfc = to_nfc(part.text);
      if (!part.marks || parts_.added_normalized.empty()) return normalized({nfc, nullptr, 0});
      const MarkedText marked = normalized_marks(part);
      if (marked.text() == nfc) return normalized({marked.text(), &marked, 0});
      // A character is composed across a border: the sides are kept apart, so that each keeps its mark.
      size_t begin = 0;
      for (const auto& run : marked.runs()) {
        const MarkedText side = marked.part(begin, run.end);
        normalized({side.text(), &side, 0});
        begin = run.end;
      }
    });
  }

  static MarkedText normalized_marks(const Part& part) {
    const MarkedText marked = part.marks->part(part.offset, part.offset + part.text.size());
    MarkedText out;
    size_t begin = 0;
    for (const auto& run : marked.runs()) {
      out.append(to_nfc(std::string_view(marked.text()).substr(begin, run.end - begin)), run.origin);
      begin = run.end;
    }
    return out;
  }

  void normalized(const Part& whole) {
    between(parts_.added_normalized, whole, [&](const Part& part) {
      parts_.pre_tokenizer->run(part.text, [&](std::string_view piece) { model(piece); });
    });
  }

  std::vector<AddedTokens::Match> matches(const AddedTokens& tokens, const Part& part) const {
    if (!allow_special_ || tokens.empty()) return {};
    if (!part.marks) return tokens.find(part.text);
    std::vector<AddedTokens::Match> found;
    size_t begin = 0;
    for (const auto& run : part.marks->runs()) {
      const size_t from = std::max(begin, part.offset), to = std::min(run.end, part.offset + part.text.size());
      begin = run.end;
      if (run.origin == Origin::kUser || from >= to) continue;
      for (auto match : tokens.find(part.text.substr(from - part.offset, to - from))) {
        const bool frames = std::find(framing_.begin(), framing_.end(), match.id) != framing_.end();
        if (run.origin == Origin::kModel && frames) continue;
        match.begin += from - part.offset;
        found.push_back(match);
      }
    }
    return found;
  }

  // Appends the tokens found in the part, and hands what lies between them to rest.
  template <class Rest>
  void between(const AddedTokens& tokens, const Part& part, const Rest& rest) {
    size_t done = 0;
    auto rest_until = [&](size_t end) {
      if (end > done) rest(part.between(done, end));
    };
    for (const auto& match : matches(tokens, part)) {
      rest_until(match.begin);
      ids_.push_back(match.id);
      done = match.begin + match.length;
    }
    rest_until(part.text.size());
  }

  void model(std::string_view piece) {
    if (parts_.bpe) return bpe(piece);
    auto id = parts_.vocabulary.find(std::string(piece));
    if (id && parts_.vocabulary.is_special(*id)) id.reset();
    if (!id) id = parts_.unknown;
    require(id.has_value(), ErrorKind::kInput, "text: expected words of the tokenizer's {} tokens, got \"{}\"",
            parts_.vocabulary.size(), piece.substr(0, 40));
    ids_.push_back(*id);
  }

  // Words come again: the ids of a piece are copied from where it stood first.
  void bpe(std::string_view piece) {
    if (piece.size() > kLongestKept) return parts_.bpe->encode(piece, scratch_, ids_);
    if (const auto it = seen_.find(piece); it != seen_.end()) {
      for (size_t i = it->second.begin; i < it->second.end; i++) ids_.push_back(ids_[i]);
      return;
    }
    const size_t begin = ids_.size();
    parts_.bpe->encode(piece, scratch_, ids_);
    if (seen_.size() < kMostKept) seen_.emplace(piece, Range{begin, ids_.size()});
  }

  static constexpr size_t kLongestKept = 64, kMostKept = 1 << 18;
  struct Range {
    size_t begin, end;  // in ids_
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  const TokenizerParts& parts_;
  const bool allow_special_;
  const std::span<const int32_t> framing_;
  Bpe::Scratch scratch_;
  std::unordered_map<std::string, Range, Hash, std::equal_to<>> seen_;
  std::vector<int32_t> ids_;
};

void require_id(const TokenizerParts& parts, int64_t id) {
  require(parts.vocabulary.holds(id), ErrorKind::kInput, "ids: expected ids of tokens, 0 to {}, got {}",
          parts.vocabulary.size() - 1, id);
}

}  // namespace

Tokenizer Tokenizer::from_json(const Json& tokenizer, const Json& config, const Path& folder) {
  auto parts = std::make_shared<TokenizerParts>();
  parts->where = (folder / "tokenizer.json").string();
  read_tokenizer_json(Field(tokenizer, parts->where), *parts);
  if (!config.is_null()) read_tokenizer_config(Field(config, (folder / "tokenizer_config.json").string()), *parts);
  return Tokenizer(std::move(parts));
}

Tokenizer Tokenizer::load(const Path& model_dir) {
  const Path config = model_dir / "tokenizer_config.json", chat_template = model_dir / "chat_template.jinja";
  Json config_json = std::filesystem::exists(config) ? read_json(config) : Json();
  if (std::filesystem::exists(chat_template)) {
    if (config_json.is_null()) config_json = Json::object();
    if (config_json.is_object()) config_json["chat_template"] = read_file(chat_template);
  }
  return from_json(read_json(model_dir / "tokenizer.json"), config_json, model_dir);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool allow_special) const {
  std::string well_formed;
  well_formed.reserve(text.size());
  append_well_formed(text, true, well_formed);
  return Encoder(*parts_, allow_special).run(well_formed);
}

std::vector<int32_t> Tokenizer::encode(const MarkedText& text, std::span<const int32_t> framing) const {
  require(well_formed_prefix(text.text()) == text.size(), ErrorKind::kInternal, "encode: expected well formed UTF-8");
  return Encoder(*parts_, framing).run(text);
}

std::vector<int32_t> Tokenizer::added_tokens_in(std::string_view text) const {
  std::vector<int32_t> ids;
  for (const AddedTokens* tokens : {&parts_->added, &parts_->added_normalized})
    for (const auto& match : tokens->find(text)) ids.push_back(match.id);
  return ids;
}

std::vector<int32_t> Tokenizer::with_template(const std::vector<int32_t>& ids) const {
  std::vector<int32_t> out = parts_->prefix;
  out.insert(out.end(), ids.begin(), ids.end());
  out.insert(out.end(), parts_->suffix.begin(), parts_->suffix.end());
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes, text;
  for (int32_t id : ids) {
    require_id(*parts_, id);
    if (!(skip_special && parts_->vocabulary.is_special(id))) bytes += parts_->bytes[size_t(id)];
  }
  append_well_formed(bytes, true, text);
  return text;
}

int32_t Tokenizer::vocab_size() const { return parts_->vocabulary.size(); }

std::optional<int32_t> Tokenizer::id_of(const std::string& token_text) const {
  return parts_->vocabulary.find(token_text);
}

const std::string& Tokenizer::token_text(int32_t id) const {
  require_id(*parts_, id);
  return parts_->vocabulary.text(id);
}

const std::string& Tokenizer::token_bytes(int32_t id) const {
  require_id(*parts_, id);
  return parts_->bytes[size_t(id)];
}

bool Tokenizer::is_special(int32_t id) const {
  require_id(*parts_, id);
  return parts_->vocabulary.is_special(id);
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return parts_->eos; }
std::optional<int32_t> Tokenizer::pad_id() const { return parts_->pad; }
const std::map<std::string, std::string>& Tokenizer::chat_templates() const { return parts_->chat_templates; }
const std::map<std::string, std::string>& Tokenizer::named_tokens() const { return parts_->named_tokens; }

const std::string& Tokenizer::chat_template() const {
  static const std::string none;
  const auto it = parts_->chat_templates.find("default");
  return it == parts_->chat_templates.end() ? none : it->second;
}

std::string StreamDecoder::push(int32_t id) {
  std::string text;
  if (skip_special_ && tokenizer_.is_special(id)) return text;
  pending_ += tokenizer_.token_bytes(id);
  pending_.erase(0, append_well_formed(pending_, false, text));
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  append_well_formed(pending_, true, text);
  pending_.clear();
  return text;
}

}  // namespace tenth
