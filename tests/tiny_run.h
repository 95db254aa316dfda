// Runs small enough for a test: a recipe of milliseconds, its model, and a folder that goes away.
#pragma once
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>

#include "base/files.h"
#include "base/json.h"
#include "base/threads.h"
#include "checkpoint/manifest.h"
#include "checkpoint/model_folder.h"
#include "problems/problem.h"
#include "run/recipe_model.h"
#include "tokenizer/small_vocab.h"
#include "train/checkpoints.h"

namespace tenth::testing {

// In memory where there is such a place and TMPDIR names no other: checkpoints sync every file.
inline Path temporary_place() {
  const bool memory = !std::getenv("TMPDIR") && ::access("/dev/shm", W_OK | X_OK) == 0;
  return memory ? Path("/dev/shm") : std::filesystem::temp_directory_path();
}

class TempFolder {
 public:
  TempFolder() {
    static std::atomic<int> count = 0;
    path_ = temporary_place() / fmt::format("tenth-test-{}-{}", ::getpid(), count++);
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const Path& path() const { return path_; }
  Path operator/(const std::string& name) const { return path_ / name; }

 private:
  Path path_;
};

struct ThreadCount {
  explicit ThreadCount(int count) : before(thread_count()) { set_thread_count(count); }
  ~ThreadCount() { set_thread_count(before); }
  int before;
};

inline const std::string kTinyRecipe = read_file(Path(TENTH_SOURCE_DIR) / "tests/tiny.toml");

inline Recipe tiny_recipe(const std::vector<std::string>& overrides = {}) {
  return Recipe::parse(kTinyRecipe, "tiny.toml", overrides);
}

inline Tokenizer tiny_tokenizer() { return arithmetic_vocab(64).tokenizer(); }

inline std::unique_ptr<Transformer> random_model(const Recipe& recipe, uint64_t seed = 1,
                                                 const std::string& backend = "cpu", DType compute = DType::kF32) {
  auto model = std::make_unique<Transformer>(model_config(recipe, tiny_tokenizer()), get_backend(backend), compute);
  initialize(*model, seed, 0.5);
  return model;
}

// A model folder with random weights and the tokenizer of the arithmetic tasks.
inline Path save_random_model(const Path& folder, const Recipe& recipe = tiny_recipe(), uint64_t seed = 1) {
  std::filesystem::create_directories(folder);
  save_model(folder, *random_model(recipe, seed), DType::kF32);
  arithmetic_vocab(64).save(folder);
  return folder;
}

// Tells model files apart.
inline uint32_t weights_of(const Path& model_folder) { return crc32(read_file(model_folder / "model.safetensors")); }

// Every byte of what goes on from step to step: the manifest holds the SHA-256 of each file.
inline std::string state_of(const Path& checkpoint) {
  check_manifest(checkpoint);
  return read_file(checkpoint / kManifest);
}

inline Checkpoint newest_checkpoint(const Path& run) {
  const FoundCheckpoint found = find_checkpoint(run);
  EXPECT_TRUE(found.skipped.empty());
  EXPECT_TRUE(found.newest);
  return found.newest.value_or(Checkpoint{});
}

// Every record of metrics.jsonl without the clock's fields.
inline std::vector<std::string> metrics_of(const Path& run) {
  std::vector<std::string> lines;
  const std::string text = read_file(run / "metrics.jsonl");
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    Json line = parse_json(std::string_view(text).substr(at, end - at), "metrics");
    line.erase("wall");
    line.erase("time");
    lines.push_back(line.dump());
    at = end + 1;
  }
  return lines;
}

template <class Work>
std::string error_of(const Work& work) {
  try {
    work();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace tenth::testing
