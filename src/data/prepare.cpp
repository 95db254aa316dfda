#include "data/prepare.h"

#include <algorithm>

#include "base/error.h"
#include "base/threads.h"
#include "tokenizer/bpe_files.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

// What the tokenizer was trained on; written behind it.
constexpr const char* kTrainingFile = "tokenizer_training.json";
constexpr int64_t kBatchBytes = 32 << 20;  // of text in memory while words are counted

void report(const PrepareSettings& settings, const char* stage, int64_t done, int64_t total) {
  if (settings.progress) settings.progress(stage, done, total);
}

// The next documents, about `bytes` of text; none at the end.
std::vector<std::string> read_batch(DocumentReader& reader, int64_t bytes) {
  std::vector<std::string> texts;
  std::string text;
  while (bytes > 0 && reader.next(text)) {
    bytes -= int64_t(text.size());
    texts.push_back(std::move(text));
  }
  return texts;
}

// Equal for equal texts in the same order.
Hash128 hash_of_texts(const std::vector<std::string>& texts) {
  std::vector<Hash128> hashes;
  for (const std::string& text : texts) hashes.push_back(hash128(text));
  return hash128(std::as_bytes(std::span(hashes)));
}

class ShardWriter {
 public:
  explicit ShardWriter(const PrepareSettings& settings)
      : settings_(settings), tokenizer_(Tokenizer::load(settings.out)) {
    manifest_.vocab_size = tokenizer_.vocab_size();
    manifest_.tokenizer = hash128_of_file(settings.out / "tokenizer.json");
    if (const Path file = settings.out / Manifest::kFile; fs::exists(file)) before_ = read_file(file);
  }

  void add(const std::vector<std::string>& texts) {
    ShardHeader header;
    header.vocab_size = uint64_t(manifest_.vocab_size);
    header.tokenizer = manifest_.tokenizer;
    header.texts = hash_of_texts(texts);
    for (const std::string& text : texts) header.text_bytes += text.size();
    const std::string name = fmt::format("tokens-{:05}.bin", manifest_.shards.size());
    const Path path = settings_.out / name;
    if (keeps(path, header)) {
      kept_++;
    } else {
      fs::remove(settings_.out / Manifest::kFile);  // it speaks of what is replaced now
      header = write_shard(path, header, encode(texts));
    }
    const Shard shard(path);
    for (const uint32_t length : shard.lengths())
      manifest_.longest_document = std::max(manifest_.longest_document, int64_t(length));
    manifest_.tokens += int64_t(header.tokens);
    manifest_.shards.push_back({name, header});
  }

  Manifest finish(const DocumentCounts& counts) {
    manifest_.documents = counts.documents;
    manifest_.text_bytes = counts.text_bytes;
    manifest_.empty = counts.empty;
    manifest_.duplicates = counts.duplicates;
    manifest_.bad = counts.bad;
    manifest_.sources = describe_sources(settings_.files);
    const std::string text = manifest_.json().dump(1) + "\n";
    if (text != before_ || !fs::exists(settings_.out / Manifest::kFile))
      write_file(settings_.out / Manifest::kFile, text);
    for (size_t i = manifest_.shards.size(); fs::remove(settings_.out / fmt::format("tokens-{:05}.bin", i)); i++) {
    }
    return std::move(manifest_);
  }

  int64_t kept() const { return kept_; }

 private:
  // Whether the shard is there, whole and of these texts; its header then takes the place of the given one.
  bool keeps(const Path& path, ShardHeader& header) const {
    if (!fs::exists(path)) return false;
    try {
      const Shard shard(path);
      const ShardHeader& there = shard.header();
      if (there.texts != header.texts || there.tokenizer != header.tokenizer || there.vocab_size != header.vocab_size)
        return false;
      shard.verify();
      header = there;
      return true;
    } catch (const Error&) {
      return false;  // it is damaged, and made again
    }
  }

  std::vector<std::vector<int32_t>> encode(const std::vector<std::string>& texts) const {
    std::vector<std::vector<int32_t>> documents(texts.size());
    parallel_each(int64_t(texts.size()), [&](int64_t i) {
      std::vector<int32_t>& ids = documents[size_t(i)];
      if (const auto bos = tokenizer_.bos_id()) ids.push_back(*bos);
      const auto text = tokenizer_.encode(texts[size_t(i)], false);
      ids.insert(ids.end(), text.begin(), text.end());
      if (const auto eos = tokenizer_.eos_id()) ids.push_back(*eos);
    });
    return documents;
  }

  const PrepareSettings& settings_;
  const Tokenizer tokenizer_;
  std::string before_;  // the manifest that was there
  Manifest manifest_;
  int64_t kept_ = 0;
};

}  // namespace

bool prepare_tokenizer(const PrepareSettings& settings, DocumentCounts* counts) {
  DocumentReader reader(settings.files, settings.skip_bad);
  make_folder(settings.out);
  const OrderedJson training = {{"vocab_size", settings.vocab_size},
                                {"min_frequency", settings.min_frequency},
                                {"skip_bad", settings.skip_bad},
                                {"sources", sources_json(describe_sources(settings.files))}};
  const std::string text = training.dump(1) + "\n";
  const Path file = settings.out / kTrainingFile;
  if (fs::exists(file) && fs::exists(settings.out / "tokenizer.json") && read_file(file) == text) return false;
  WordCounts words;
  for (auto batch = read_batch(reader, kBatchBytes); !batch.empty(); batch = read_batch(reader, kBatchBytes)) {
    words.add(batch);
    report(settings, "words", reader.bytes_read(), reader.bytes());
  }
  if (counts) *counts = reader.counts();
  const BpeTrainSettings train{settings.vocab_size, settings.min_frequency, text_specials()};
  const auto vocabulary =
      train_bpe(words.words(), train, [&](int64_t done, int64_t total) { report(settings, "merges", done, total); });
  fs::remove(file);
  save_bpe(vocabulary, settings.out);
  write_file(file, text);
  return true;
}

void copy_tokenizer(const Path& from, const Path& out) {
  Tokenizer::load(from);
  make_folder(out);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"})
    if (fs::exists(from / name)) write_file(out / name, read_file(from / name));
}

Manifest prepare_shards(const PrepareSettings& settings, int64_t* kept) {
  DocumentReader reader(settings.files, settings.skip_bad);
  ShardWriter writer(settings);
  for (auto batch = read_batch(reader, settings.shard_bytes); !batch.empty();
       batch = read_batch(reader, settings.shard_bytes)) {
    writer.add(batch);
    report(settings, "tokens", reader.bytes_read(), reader.bytes());
  }
  if (kept) *kept = writer.kept();
  return writer.finish(reader.counts());
}

}  // namespace tenth
