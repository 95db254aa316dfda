// tenth convert, tenth quantize: a model in another format.
#include <charconv>
#include <cstdio>

#include "base/interrupt.h"
#include "base/text.h"
#include "checkpoint/export_gguf.h"
#include "checkpoint/export_safetensors.h"
#include "checkpoint/gguf_vocabulary.h"
#include "cli/commands.h"
#include "train/progress.h"

namespace tenth {
namespace {

struct ConvertOptions {
  std::string model, out, dtype = "bf16", to, max_shard_size = "5GB";
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

std::vector<GgufEntry> vocabulary_of(const Path& model, const WeightSource& source) {
  if (source.gguf()) return gguf_vocabulary_entries(*source.gguf());
  if (!std::filesystem::exists(model / "tokenizer.json")) {
    std::fprintf(stderr, "tenth: %s has no tokenizer.json: the file goes without a vocabulary\n", model.c_str());
    return {};
  }
  try {
    return gguf_vocabulary_entries(model, source.config());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnsupported) throw;
    std::fprintf(stderr, "tenth: %s: the file goes without a vocabulary\n", printable(error.what()).c_str());
    return {};
  }
}

void write_gguf_model(const ConvertOptions& options, const WeightSource& source, const std::string& type,
                      const char* stage) {
  const Path model = std::filesystem::absolute(options.model).lexically_normal();
  const Path named = model.has_filename() ? model : model.parent_path();
  Progress progress(stage);
  export_gguf(source, options.out,
              {.type = type,
               .name = source.gguf() ? named.stem().string() : named.filename().string(),
               .vocabulary = vocabulary_of(options.model, source),
               .progress = progress.callback()});
  if (source.config().num_nextn_predict_layers)
    std::fprintf(stderr, "tenth: the multi-token prediction module stays behind: GGUF readers do not use it\n");
}

void write_folder(const ConvertOptions& options, const WeightSource& source) {
  using Type = SafetensorsExport::Type;
  const Type type = options.dtype == "f32" ? Type::kF32 : options.dtype == "fp8" ? Type::kFp8 : Type::kBf16;
  // Nothing but a model is replaced.
  const Path out = options.out;
  require(!std::filesystem::exists(out) || std::filesystem::exists(out / "config.json"), ErrorKind::kInput,
          "--out {}: expected a new folder or one with a model, got another", options.out);
  Progress progress("convert");
  replace_folder(out, [&](const Path& beside) {
    write_file(beside / "config.json", exported_config(source, type));
    for (const char* name :
         {"generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "added_tokens.json", "vocab.json", "merges.txt", "chat_template.jinja", "LICENSE"}) {
      const Path from = Path(options.model) / name;
      if (!source.gguf() && std::filesystem::exists(from)) write_file(beside / name, read_file(from));
    }
    export_safetensors(
        source, beside,
        {.type = type, .shard_bytes = size_of_text(options.max_shard_size), .progress = progress.callback()});
  });
  if (source.gguf())
    std::fprintf(stderr, "tenth: the vocabulary of a .gguf file is not written: the folder has no tokenizer\n");
}

void convert(const ConvertOptions& options) {
  watch_interrupts();
  size_of_text(options.max_shard_size);
  const bool gguf = is_gguf(options.out);
  const bool fits = gguf ? options.dtype != "fp8" : options.dtype != "f16";
  require(fits, ErrorKind::kInput, "--dtype {}: expected {}", options.dtype,
          gguf ? "f32, f16 or bf16 for a .gguf file" : "f32, bf16 or fp8 for a folder");
  const WeightSource source = WeightSource::open(options.model);
  if (!gguf) return write_folder(options, source);
  write_gguf_model(options, source,
                   options.dtype == "f32"   ? "F32"
                   : options.dtype == "f16" ? "F16"
                                            : "BF16",
                   "convert");
}

void quantize_model(const ConvertOptions& options) {
  watch_interrupts();
  require(is_gguf(options.out), ErrorKind::kInput, "--out: expected a name that ends in .gguf, got {}",
          printable(options.out));
  const std::string type = options.to == "q8_0"   ? "Q8_0"
                           : options.to == "q4_0" ? "Q4_0"
                           : options.to == "q4_k" ? "Q4_K"
                                                  : "Q6_K";
  write_gguf_model(options, WeightSource::open(options.model), type, "quantize");
}

}  // namespace

void add_convert_commands(CLI::App& app) {
  CLI::App* command = app.add_subcommand("convert", "Write a model as a Hugging Face folder or a .gguf file");
  auto options = std::make_shared<ConvertOptions>();
  command->add_option("model", options->model, "Model folder or .gguf file")->required();
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
  smaller->add_option("model", quantize_options->model, "Model folder or .gguf file")->required();
  smaller->add_option("--to", quantize_options->to, "q8_0, q6_k, q4_k or q4_0")
      ->required()
      ->check(CLI::IsMember({"q8_0", "q6_k", "q4_k", "q4_0"}));
  smaller->add_option("--out", quantize_options->out, "The .gguf file to write")->required();
  smaller->footer("Example: tenth quantize runs/books/model --to q4_k --out books-q4_k.gguf");
  smaller->callback([quantize_options] { quantize_model(*quantize_options); });
}

}  // namespace tenth
