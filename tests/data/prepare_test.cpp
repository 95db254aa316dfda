// Text to shards: what is in them, that a second call goes on, and that nothing depends on threads.
#include "data/prepare.h"

#include <map>

#include "base/threads.h"
#include "data_util.h"

namespace tenth::testing {
namespace {

class Prepare : public DataTest {
 protected:
  Prepare() {
    settings_.files = {put("a.jsonl.zst", packed(documents(0, 60, 80) + line_of("") + documents(3, 5, 80))),
                       put("b.jsonl", documents(60, 90, 80)), put("c.txt", document(1000, 300))};
    settings_.out = folder_ / "out";
    settings_.vocab_size = 400;
    settings_.shard_bytes = 4000;
  }
  Manifest run(const PrepareSettings& settings, int64_t* kept = nullptr) const {
    prepare_tokenizer(settings);
    return prepare_shards(settings, kept);
  }
  static std::map<std::string, std::string> files(const Path& folder) {
    std::map<std::string, std::string> bytes;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      bytes[entry.path().filename()] = read_file(entry.path());
    return bytes;
  }

  PrepareSettings settings_;
};

TEST_F(Prepare, ShardsHoldTheDocuments) {
  const Manifest manifest = run(settings_);
  EXPECT_EQ(manifest.documents, 91);
  EXPECT_EQ(manifest.duplicates, 2);
  EXPECT_EQ(manifest.empty, 1);
  EXPECT_GT(manifest.shards.size(), 3u);
  const TokenFolder folder(settings_.out);
  const Tokenizer tokenizer = Tokenizer::load(settings_.out);
  DocumentReader reader(settings_.files, false);
  std::string text;
  uint64_t begin = 0;
  int64_t bytes = 0;
  for (const uint32_t length : folder.lengths()) {
    ASSERT_TRUE(reader.next(text));
    std::vector<int32_t> ids(length);
    folder.copy(begin, ids);
    begin += length;
    bytes += int64_t(text.size());
    EXPECT_EQ(ids.front(), tokenizer.bos_id());
    EXPECT_EQ(ids.back(), tokenizer.eos_id());
    EXPECT_EQ(tokenizer.decode(ids, true), text);
  }
  EXPECT_FALSE(reader.next(text));
  EXPECT_EQ(begin, uint64_t(manifest.tokens));
  EXPECT_EQ(bytes, manifest.text_bytes);
  for (const Shard& shard : folder.shards()) EXPECT_NO_THROW(shard.verify());
}

TEST_F(Prepare, SameBytesForAnyNumberOfThreads) {
  const int before = thread_count();
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 4}) {
    set_thread_count(threads);
    settings_.out = folder_ / fmt::format("threads-{}", threads);
    run(settings_);
    if (first.empty()) first = files(settings_.out);
    EXPECT_EQ(files(settings_.out), first);
  }
  set_thread_count(before);
}

TEST_F(Prepare, SpecialTokensInTextAreText) {
  settings_.files = {put("s.txt", "a <eos> b <user> <think>")};
  run(settings_);
  const TokenFolder folder(settings_.out);
  std::vector<int32_t> ids(size_t(folder.manifest().tokens));
  folder.copy(0, ids);
  for (size_t i = 1; i + 1 < ids.size(); i++) EXPECT_GE(ids[i], 8);
}

// Stopped at each report in turn, then gone on: the same files as without a stop.
TEST_F(Prepare, GoesOnWhereItStopped) {
  run(settings_);
  const auto expected = files(settings_.out);
  settings_.out = folder_ / "stopped";
  int stops = 0;
  for (bool stopped = true; stopped; stops++) {
    ASSERT_LT(stops, 1000);
    stopped = false;
    int reports = 0;
    settings_.progress = [&](const char*, int64_t, int64_t) {
      if (reports++ == stops) throw std::runtime_error("stop");
    };
    try {
      run(settings_);
    } catch (const std::runtime_error&) {
      stopped = true;
      EXPECT_THROW(TokenFolder{settings_.out}, Error) << "a folder that is not finished";
    }
  }
  EXPECT_GT(stops, 5);
  EXPECT_EQ(files(settings_.out), expected);
}

TEST_F(Prepare, KeepsWhatIsDone) {
  const Manifest manifest = run(settings_);
  const auto expected = files(settings_.out);
  EXPECT_FALSE(prepare_tokenizer(settings_));
  int64_t kept = 0;
  prepare_shards(settings_, &kept);
  EXPECT_EQ(kept, int64_t(manifest.shards.size()));
  // One shard is missing, one damaged, and one of an older call left over.
  std::filesystem::remove(settings_.out / "tokens-00001.bin");
  std::string bytes = expected.at("tokens-00002.bin");
  bytes[bytes.size() / 2] ^= 1;
  write_file(settings_.out / "tokens-00002.bin", bytes);
  write_file(settings_.out / fmt::format("tokens-{:05}.bin", manifest.shards.size()), "old");
  prepare_shards(settings_, &kept);
  EXPECT_EQ(kept, int64_t(manifest.shards.size()) - 2);
  EXPECT_EQ(files(settings_.out), expected);
}

TEST_F(Prepare, OtherFilesOrSizesAreMadeAnew) {
  run(settings_);
  settings_.vocab_size = 420;
  EXPECT_TRUE(prepare_tokenizer(settings_));
  int64_t kept = -1;
  prepare_shards(settings_, &kept);
  EXPECT_EQ(kept, 0);
  EXPECT_EQ(TokenFolder(settings_.out).manifest().vocab_size, 420);
  put("b.jsonl", documents(100, 130, 80));
  EXPECT_TRUE(prepare_tokenizer(settings_));
}

TEST_F(Prepare, FolderNamesWhatIsWrong) {
  run(settings_);
  const auto whole = files(settings_.out);
  const auto refused = [&](const std::string& part) {
    expect_in(part, error_text([&] { TokenFolder{settings_.out}; }));
    for (const auto& [name, bytes] : whole) write_file(settings_.out / name, bytes);
  };
  std::filesystem::remove(settings_.out / "tokens-00001.bin");
  refused("tokens-00001.bin: cannot open");
  write_file(settings_.out / "tokens-00001.bin", whole.at("tokens-00001.bin").substr(0, 500));
  refused("tokens-00001.bin: the token shard was cut short");
  write_file(settings_.out / "tokens-00001.bin", whole.at("tokens-00002.bin"));
  refused("tokens-00001.bin: expected the token shard that manifest.json names");
  std::filesystem::remove(settings_.out / "manifest.json");
  refused("expected a folder of token shards, got none");
  write_file(settings_.out / "manifest.json", "{\"format\": \"tenth tokens\", \"version\": 2}");
  refused("expected version 1, got 2");
  Json manifest = Json::parse(whole.at("manifest.json"));
  manifest["shards"][0]["file"] = "../tokens-00000.bin";
  write_file(settings_.out / "manifest.json", manifest.dump());
  refused("shards[0]: file: expected the name of a file");
  manifest = Json::parse(whole.at("manifest.json"));
  manifest["tokens"] = manifest["tokens"].get<int64_t>() + 1;
  write_file(settings_.out / "manifest.json", manifest.dump());
  refused("manifest.json: tokens: expected");
  EXPECT_NO_THROW(TokenFolder{settings_.out});
}

}  // namespace
}  // namespace tenth::testing
