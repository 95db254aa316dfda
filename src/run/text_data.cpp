#include "run/text_data.h"

#include <charconv>
#include <optional>

#include "base/interrupt.h"
#include "base/text.h"
#include "data/conversations.h"
#include "train/chat_dataset.h"
#include "train/progress.h"
#include "train/token_dataset.h"

namespace tenth {
namespace {

std::vector<Path> paths_of(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

std::vector<double> weights_of(const Recipe& recipe) {
  std::vector<double> weights;
  for (const std::string& text : recipe.list("data.weights")) {
    double weight = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
    require(error == std::errc() && end == text.data() + text.size(), ErrorKind::kInput,
            "{}: data.weights: expected numbers, got \"{}\"", recipe.where("data.weights"), printable(text));
    weights.push_back(weight);
  }
  return weights;
}

void check_tokenizer(const TokenMixture& text, const Path& shards, const Path& tokenizer_folder) {
  require(text.tokenizer() == hash128_of_file(tokenizer_folder / "tokenizer.json"), ErrorKind::kInput,
          "{}: its ids are of another tokenizer than {}; prepare the text with --tokenizer {}", shards.string(),
          (tokenizer_folder / "tokenizer.json").string(), tokenizer_folder.string());
}

}  // namespace

PrepareProgress progress_lines() {
  struct Lines {
    std::string stage;
    std::optional<ProgressLine> line;
  };
  return [lines = std::make_shared<Lines>()](const char* stage, int64_t done, int64_t total) {
    require(!interrupted(), ErrorKind::kIo, "interrupted: what is done is kept; the same command goes on from there");
    const int64_t unit = std::string_view(stage) == "merges" ? 1 : 1'000'000;  // else MB of files
    if (stage != lines->stage) lines->line.emplace(stage, (total + unit - 1) / unit);
    lines->stage = stage;
    lines->line->update({.step = (done + unit - 1) / unit});
    if (done == total) lines->line->finish();
  };
}

void prepare_text(const Recipe& recipe) {
  const std::vector<std::string>&files = recipe.list("data.files"), &folders = recipe.list("data.path");
  if (files.empty()) return;
  require(folders.size() == 1, ErrorKind::kInput, "{}: data.path: expected one folder for data.files, got {}",
          recipe.where("data.path"), folders.size());
  PrepareSettings settings{.files = paths_of(files),
                           .out = folders[0],
                           .vocab_size = recipe.integer("data.vocab_size"),
                           .progress = progress_lines()};
  if (const std::string& from = recipe.text("run.start_from"); from.empty())
    prepare_tokenizer(settings);
  else
    copy_tokenizer(from, settings.out);
  prepare_shards(settings);
  const std::vector<std::string>& held_out = recipe.list("data.validation_files");
  if (held_out.empty()) return;
  const std::string& validation = recipe.text("data.validation");
  require(!validation.empty(), ErrorKind::kInput, "{}: data.validation: expected a folder for data.validation_files",
          recipe.where("data.validation_files"));
  settings.files = paths_of(held_out);
  settings.out = validation;
  copy_tokenizer(folders[0], validation);
  prepare_shards(settings);
}

TextData open_text(const Recipe& recipe, const Tokenizer& tokenizer, const Path& tokenizer_folder,
                   int64_t model_context) {
  const int64_t context = recipe.integer("data.context"), batch_tokens = recipe.integer("train.batch_tokens");
  require(context <= model_context, ErrorKind::kInput,
          "{}: data.context: expected at most {}, the model's max_position_embeddings, got {}",
          recipe.where("data.context"), model_context, context);
  require(batch_tokens >= context, ErrorKind::kInput,
          "{}: train.batch_tokens: expected at least data.context, {}, got {}", recipe.where("train.batch_tokens"),
          context, batch_tokens);
  if (recipe.integer("train.context_warmup_steps") > 0) {
    const int64_t from = recipe.integer("train.context_warmup_from");
    require(from <= context, ErrorKind::kInput,
            "{}: train.context_warmup_from: expected at most data.context, {}, got {}",
            recipe.where("train.context_warmup_from"), context, from);
    require(recipe.list("data.conversations").empty(), ErrorKind::kInput,
            "{}: train.context_warmup_steps: expected 0 with data.conversations, which are not cut",
            recipe.where("train.context_warmup_steps"));
  }
  const int64_t rows = batch_tokens / context;
  const uint64_t seed = uint64_t(recipe.integer("run.seed"));
  TextData data;
  if (const std::vector<std::string>& chats = recipe.list("data.conversations"); !chats.empty()) {
    Conversations read = read_conversations(paths_of(chats), tokenizer, size_t(context), false);
    data.training = std::make_unique<ChatDataset>(std::move(read.chats), uint32_t(context), rows, seed);
  } else {
    const std::vector<Path> folders = paths_of(recipe.list("data.path"));
    auto mixture = std::make_shared<const TokenMixture>(
        MixtureSettings{.folders = folders, .weights = weights_of(recipe), .context = uint32_t(context), .seed = seed});
    check_tokenizer(*mixture, folders[0], tokenizer_folder);
    data.training = std::make_unique<TokenDataset>(mixture, rows);
  }
  if (const Path validation = recipe.text("data.validation"); !validation.empty()) {
    data.validation = std::make_unique<TokenMixture>(
        MixtureSettings{.folders = {validation}, .context = uint32_t(context), .shuffle = false});
    check_tokenizer(*data.validation, validation, tokenizer_folder);
  }
  return data;
}

}  // namespace tenth
