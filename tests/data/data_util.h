// Small files of text and small folders of shards.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <atomic>
#include <fstream>

#include "base/error.h"
#include "base/rng.h"
#include "data/prepare.h"

namespace tenth::testing {

class DataTest : public ::testing::Test {
 protected:
  DataTest() { std::filesystem::create_directories(folder_); }
  ~DataTest() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  Path put(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;  // without write_file's sync
    return folder_ / name;
  }

  static inline std::atomic<int> count_ = 0;
  const Path folder_ = std::filesystem::temp_directory_path() / fmt::format("tenth-data-{}-{}", ::getpid(), count_++);
};

inline std::string packed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

inline std::string line_of(const std::string& text) { return Json{{"text", text}, {"source", "x"}}.dump() + "\n"; }

// Words of a few syllables; document i is the same in every call.
inline std::string document(int i, int words) {
  Rng rng(7, uint64_t(i));
  const char* syllables[] = {"ba", "ko", "ri", "tu", "ne", "lam", "é", "世"};
  std::string text;
  for (int w = 0; w < words; w++) {
    if (w) text += w % 11 ? " " : ".\n";
    for (int64_t s = rng.between(1, 3); s > 0; s--) text += syllables[rng.below(8)];
  }
  return text;
}

inline std::string documents(int from, int to, int words) {
  std::string lines;
  for (int i = from; i < to; i++) lines += line_of(document(i, 1 + int(Rng(3, uint64_t(i)).below(uint64_t(words)))));
  return lines;
}

template <class Work>
std::string error_text(const Work& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline void expect_in(const std::string& part, const std::string& text) {
  EXPECT_NE(text.find(part), text.npos) << "expected \"" << part << "\" in: " << text;
}

}  // namespace tenth::testing
