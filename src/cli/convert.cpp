// tenth convert, tenth quantize: a model in another format.
#include <charconv>
#include <cstdio>

#include "base/interrupt.h"
#include "base/text.h"
#include "checkpoint/export_gguf.h"
#include "checkpoint/export_safetensors.h"
#include "checkpoint/gguf_vocabulary.h"
#include "checkpoint/model_folder.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "hub/cache.h"
#include "train/progress.h"

namespace tenth {
namespace {

struct ConvertOptions {
  std::string model, out, dtype = "bf16", to, max_shard_size = "5GB";
};

// What options.model means.
struct Model {
  explicit Model(const std::string& given) : path(find_model(given)), source(WeightSource::open(path)) {
    const Path whole = std::filesystem::absolute(given).lexically_normal();
    const Path named = whole.has_filename() ? whole : whole.parent_path();
    name = is_gguf(named) ? named.stem().string() : named.filename().string();
  }
  Path path;
  std::string name;  // the last part of what was given: of a hub name the model's
  WeightSource source;
};

// "5GB", "300MB": thousands, as Hugging Face counts them
uint64_t size_of_text(const std::string& text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string_view unit(stop, size_t(end - stop));
  const uint64_t factor = unit == "KB" ? 1000 : unit == "MB" ? 1'000'000 : unit == "GB" ? 1'000'000'000 : 0;
  require(error == std::errc() && factor > 0 && number > 0 && number < 1'000'000'000, ErrorKind::kInput,
          "--max-shard-size: expected a size like 5GB or 300MB, got {}", printable(text));
  return number * factor;
}

// One line of megabytes written.
class Progress {
 public:
  explicit Progress(const char* stage) : stage_(stage) {}
  ExportProgress callback() {
    return [this](uint64_t done, uint64_t total) {
      if (!line_) line_.emplace(stage_, int64_t(total / 1'000'000) + 1);
      line_->update({.step = int64_t(done / 1'000'000) + (done == total)});
      if (done == total) line_->finish();
    };
  }

 private:
  const char* stage_;
  std::optional<ProgressLine> line_;
};

// What a vocabulary's owner cannot do without is told, not refused: the weights are of use without it.
template <class Result, class Make>
Result unless_unsupported(const char* without, const Make& make) {
  try {
    return make();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    std::fprintf(stderr, "tenth: %s: %s\n", printable(error.what()).c_str(), without);
    return {};
  }
}

std::vector<GgufEntry> vocabulary_entries(const Model& model) {
  if (model.source.gguf()) return gguf_vocabulary_entries(*model.source.gguf());
  if (!std::filesystem::exists(model.path / "tokenizer.json")) {
    std::fprintf(stderr, "tenth: %s has no tokenizer.json: the file goes without a vocabulary\n", model.path.c_str());
    return {};
  }
  return unless_unsupported<std::vector<GgufEntry>>(
      "the file goes without a vocabulary", [&] { return gguf_vocabulary_entries(model.path, model.source.config()); });
}

void write_gguf_model(const ConvertOptions& options, const Model& model, const std::string& type, const char* stage) {
  Progress progress(stage);
  export_gguf(
      model.source, options.out,
      {.type = type, .name = model.name, .vocabulary = vocabulary_entries(model), .progress = progress.callback()});
}

// The files beside the weights: a folder's as they are, a .gguf file's made of its metadata.
void write_other_files(const Model& model, const Path& folder) {
  if (!model.source.gguf()) {
    for (const char* name :
         {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "LICENSE"}) {
      if (std::filesystem::exists(model.path / name)) write_file(folder / name, read_file(model.path / name));
    }
    return;
  }
  write_file(folder / "generation_config.json", generation_config(model.source.config()));
  const GgufMetadata& metadata = *model.source.gguf();
  if (metadata.text("tokenizer.ggml.model", "none") == "none") {
    std::fprintf(stderr, "tenth: %s has no vocabulary: the folder goes without a tokenizer\n", model.path.c_str());
    return;
  }
  const auto files = unless_unsupported<TokenizerFiles>("the folder goes without a tokenizer",
                                                        [&] { return tokenizer_files(vocabulary_of(metadata)); });
  if (files.tokenizer.empty()) return;
  write_file(folder / "tokenizer.json", files.tokenizer);
  write_file(folder / "tokenizer_config.json", files.config);
}

void write_folder(const ConvertOptions& options, const Model& model) {
  using Type = SafetensorsExport::Type;
  const Type type = options.dtype == "f32" ? Type::kF32 : options.dtype == "fp8" ? Type::kFp8 : Type::kBf16;
  // Nothing but a model is replaced.
  const Path out = options.out;
  require(!std::filesystem::exists(out) || std::filesystem::exists(out / "config.json"), ErrorKind::kInput,
          "--out {}: expected a new folder or one with a model, got another", options.out);
  Progress progress("convert");
  replace_folder(out, [&](const Path& beside) {
    write_file(beside / "config.json", exported_config(model.source, type));
    write_other_files(model, beside);
    export_safetensors(
        model.source, beside,
        {.type = type, .shard_bytes = size_of_text(options.max_shard_size), .progress = progress.callback()});
  });
}

void convert(const ConvertOptions& options) {
  watch_interrupts();
  size_of_text(options.max_shard_size);
  const bool gguf = is_gguf(options.out);
  const bool fits = gguf ? options.dtype != "fp8" : options.dtype != "f16";
  require(fits, ErrorKind::kInput, "--dtype {}: expected {}", options.dtype,
          gguf ? "f32, f16 or bf16 for a .gguf file" : "f32, bf16 or fp8 for a folder");
  const Model model(options.model);
  if (!gguf) return write_folder(options, model);
  write_gguf_model(options, model, options.dtype == "f32" ? "F32" : options.dtype == "f16" ? "F16" : "BF16", "convert");
}

void quantize_model(const ConvertOptions& options) {
  watch_interrupts();
  require(is_gguf(options.out), ErrorKind::kInput, "--out: expected a name that ends in .gguf, got {}",
          printable(options.out));
  const std::string type = options.to == "q8_0"   ? "Q8_0"
                           : options.to == "q4_0" ? "Q4_0"
                           : options.to == "q4_k" ? "Q4_K"
                                                  : "Q6_K";
  write_gguf_model(options, Model(options.model), type, "quantize");
}

}  // namespace

void add_convert_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "Write a model as a Hugging Face folder or a .gguf file");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("model", options->model, "Model folder, .gguf file, or name that was pulled")->required();
  command->add_option("--out", options->out, "Folder to write, or a name that ends in .gguf")->required();
  command
      ->add_option("--dtype", options->dtype,
                   "Of weights: f32, bf16; fp8 (folder: e4m3 in blocks of 128 x 128); f16 (.gguf)")
      ->capture_default_str()
      ->check(CLI::IsMember({"f32", "bf16", "fp8", "f16"}));
  command->add_option("--max-shard-size", options->max_shard_size, "Largest file of a folder, as 300MB or 5GB")
      ->capture_default_str();
  command->footer("Example: tenth convert runs/books/model --out books.gguf --dtype bf16");
  command->callback([options] { convert(*options); });

  CLI::App* smaller = app.add_subcommand("quantize", "Write a model as a .gguf file of 8, 6 or 4 bits a weight");
  auto quantize_options = std::make_shared<ConvertOptions>();
  smaller->add_option("model", quantize_options->model, "Model folder, .gguf file, or name that was pulled")
      ->required();
  smaller->add_option("--to", quantize_options->to, "q8_0, q6_k, q4_k or q4_0")
      ->required()
      ->check(CLI::IsMember({"q8_0", "q6_k", "q4_k", "q4_0"}));
  smaller->add_option("--out", quantize_options->out, "The .gguf file to write")->required();
  smaller->footer("Example: tenth quantize runs/books/model --to q4_k --out books-q4_k.gguf");
  smaller->callback([quantize_options] { quantize_model(*quantize_options); });
}

}  // namespace tenth
