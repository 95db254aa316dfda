// tenth data prepare | tokenizer | inspect | verify: text files -> tokenizer -> token shards.
#include <cstdio>
#include <optional>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/text.h"
#include "cli/commands.h"
#include "data/prepare.h"
#include "run/text_data.h"

namespace tenth {
namespace {

struct DataOptions {
  std::vector<std::string> files;
  std::string out, tokenizer;
  int64_t vocab_size = 0, min_frequency = 0;
  bool skip_bad = false;
};

PrepareSettings settings_of(const DataOptions& options) {
  PrepareSettings settings{.files = {options.files.begin(), options.files.end()},
                           .out = options.out,
                           .skip_bad = options.skip_bad,
                           .vocab_size = options.vocab_size,
                           .min_frequency = options.min_frequency};
  settings.progress = progress_lines();
  return settings;
}

void train_tokenizer(const PrepareSettings& settings) {
  DocumentCounts counts;
  const bool trained = prepare_tokenizer(settings, &counts);
  const Tokenizer tokenizer = Tokenizer::load(settings.out);
  if (trained)
    std::printf("tokenizer    %d tokens, trained on %lld documents, %s of text\n", tokenizer.vocab_size(),
                static_cast<long long>(counts.documents), (short_number(double(counts.text_bytes)) + "B").c_str());
  else
    std::printf("tokenizer    %d tokens, there already, of the same files\n", tokenizer.vocab_size());
}

void print_manifest(const Manifest& manifest) {
  const auto line = [](const char* name, int64_t value) {
    std::printf("%-12s %lld\n", name, static_cast<long long>(value));
  };
  line("documents", manifest.documents);
  line("tokens", manifest.tokens);
  line("text bytes", manifest.text_bytes);
  if (manifest.tokens > 0) std::printf("bytes/token  %.3f\n", double(manifest.text_bytes) / double(manifest.tokens));
  std::printf("longest      %lld tokens\n", static_cast<long long>(manifest.longest_document));
  std::printf("left out     %lld duplicates, %lld empty, %lld bad\n", static_cast<long long>(manifest.duplicates),
              static_cast<long long>(manifest.empty), static_cast<long long>(manifest.bad));
  line("vocabulary", manifest.vocab_size);
  line("shards", int64_t(manifest.shards.size()));
}

void prepare(const DataOptions& options) {
  require(options.tokenizer.empty() != (options.vocab_size == 0), ErrorKind::kInput,
          "data prepare: expected one of --vocab-size N (train a tokenizer) and --tokenizer DIR (take one)");
  const PrepareSettings settings = settings_of(options);
  watch_interrupts();
  if (options.tokenizer.empty())
    train_tokenizer(settings);
  else
    copy_tokenizer(options.tokenizer, options.out);
  int64_t kept = 0;
  const Manifest manifest = prepare_shards(settings, &kept);
  print_manifest(manifest);
  if (kept > 0) std::printf("%lld shards were there already\n", static_cast<long long>(kept));
}

void inspect(const std::string& folder) {
  const TokenFolder tokens(folder);
  print_manifest(tokens.manifest());
  for (const SourceFile& source : tokens.manifest().sources)
    std::printf("source       %s (%sB)\n", printable(source.file).c_str(), short_number(double(source.bytes)).c_str());
}

void verify(const std::string& folder) {
  const TokenFolder tokens(folder);
  require(hash128_of_file(Path(folder) / "tokenizer.json") == tokens.manifest().tokenizer, ErrorKind::kInput,
          "{}: expected the tokenizer that made the tokens, got another one",
          (Path(folder) / "tokenizer.json").string());
  std::string damaged;
  for (const Shard& shard : tokens.shards()) {
    try {
      shard.verify();
    } catch (const Error& error) {
      damaged += (damaged.empty() ? "" : "; ") + std::string(error.what());
    }
  }
  require(damaged.empty(), ErrorKind::kInput, "{}", damaged);
  std::printf("%zu shards, %lld tokens: all as written\n", tokens.shards().size(),
              static_cast<long long>(tokens.manifest().tokens));
}

CLI::App* add_making(CLI::App& data, const char* name, const char* what, DataOptions& options) {
  CLI::App* command = data.add_subcommand(name, what);
  command->add_option("files", options.files, "Text: .txt (one document), .jsonl or .jsonl.zst ({\"text\": …} a line)")
      ->required();
  command->add_option("--out", options.out, "Folder to write")->required();
  command->add_option("--vocab-size", options.vocab_size, "Tokens of the tokenizer to train on the files")
      ->check(CLI::Range(int64_t(264), int64_t(1) << 22));
  command->add_option("--min-frequency", options.min_frequency, "Pairs that stand less often become no token")
      ->check(CLI::Range(int64_t(0), INT64_MAX));
  command->add_flag("--skip-bad", options.skip_bad, "Count and leave out what is broken in the files");
  return command;
}

}  // namespace

void add_data_commands(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "Text files to a tokenizer and token shards");
  data->require_subcommand(1);
  data->footer("Example: tenth data prepare books/*.jsonl.zst --vocab-size 16384 --out data/books");
  auto options = std::make_shared<DataOptions>();
  CLI::App* command =
      add_making(*data, "prepare", "Train a tokenizer on the files (or take one), write token shards", *options);
  command->add_option("--tokenizer", options->tokenizer, "Folder with the tokenizer.json to take");
  command->footer(
      "A second call goes on where an interrupted one stopped.\nExample:\n"
      "  tenth data prepare books-0*.jsonl.zst --vocab-size 16384 --out data/books\n"
      "  tenth data prepare books-val.jsonl.zst --tokenizer data/books --out data/books-val");
  command->callback([options] { prepare(*options); });

  options = std::make_shared<DataOptions>();
  command = add_making(*data, "tokenizer", "Train a byte-level BPE tokenizer on the files", *options);
  command->get_option("--vocab-size")->required();
  command->footer("Example: tenth data tokenizer books-0*.jsonl.zst --vocab-size 16384 --out tokenizers/books");
  command->callback([options] {
    watch_interrupts();
    train_tokenizer(settings_of(*options));
  });

  auto folder = std::make_shared<std::string>();
  command = data->add_subcommand("inspect", "What a folder of token shards holds");
  command->add_option("folder", *folder, "Folder that tenth data prepare wrote")->required();
  command->footer("Example: tenth data inspect data/books");
  command->callback([folder] { inspect(*folder); });
  command = data->add_subcommand("verify", "Check every token shard of a folder against its hash");
  command->add_option("folder", *folder, "Folder that tenth data prepare wrote")->required();
  command->footer("Example: tenth data verify data/books");
  command->callback([folder] { verify(*folder); });
}

}  // namespace tenth
