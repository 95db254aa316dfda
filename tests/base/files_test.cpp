// Files are whole or absent, folders old or new, and nothing waits.
#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/append_file.h"
#include "base/error.h"
#include "base/hash.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  Files() : dir_(fs::temp_directory_path() / fmt::format("tenth-files-{}", ::getpid())) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~Files() override { fs::remove_all(dir_); }
  size_t entries() const { return size_t(std::distance(fs::directory_iterator(dir_), fs::directory_iterator())); }
  template <class Work>
  static std::string error_of(ErrorKind kind, const Work& work) {
    try {
      work();
    } catch (const Error& e) {
      EXPECT_EQ(int(e.kind()), int(kind)) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

  Path dir_;
};

TEST_F(Files, WrittenAndReadBack) {
  const std::string bytes("a\0b\n\xff", 5);
  write_file(dir_ / "f", bytes);
  EXPECT_EQ(read_file(dir_ / "f"), bytes);
  EXPECT_EQ(MappedFile(dir_ / "f").bytes().size(), 5u);
  write_file(dir_ / "f", "");
  EXPECT_EQ(read_file(dir_ / "f"), "");
  EXPECT_TRUE(MappedFile(dir_ / "f").bytes().empty());
  EXPECT_EQ(entries(), 1u);
  write_file(dir_ / "f", "1234");
  EXPECT_EQ(read_file(dir_ / "f", 4), "1234");
  error_of(ErrorKind::kInput, [&] { read_file(dir_ / "f", 3); });
}

TEST_F(Files, AnErrorLeavesTheOldFile) {
  write_file(dir_ / "f", "old");
  EXPECT_THROW(write_file(dir_ / "f",
                          [](const ByteSink& sink) {
                            sink(std::as_bytes(std::span("half")));
                            throw std::runtime_error("in the middle");
                          }),
               std::runtime_error);
  EXPECT_EQ(read_file(dir_ / "f"), "old");
  EXPECT_EQ(entries(), 1u);
  EXPECT_NE(error_of(ErrorKind::kIo, [&] { write_file(dir_ / "none" / "f", "x"); }).find("No such file"),
            std::string::npos);
}

TEST_F(Files, LinksStayAndDevicesAreRefused) {
  fs::create_directory(dir_ / "elsewhere");
  write_file(dir_ / "elsewhere" / "f", "old");
  fs::create_symlink(dir_ / "elsewhere" / "f", dir_ / "link");
  write_file(dir_ / "link", "new");
  EXPECT_TRUE(fs::is_symlink(dir_ / "link"));
  EXPECT_EQ(read_file(dir_ / "elsewhere" / "f"), "new");
  error_of(ErrorKind::kInput, [&] { write_file(dir_ / "elsewhere", "x"); });
  error_of(ErrorKind::kInput, [&] { write_file("/dev/null", "x"); });
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(Files, PipesAndFoldersAreNotWaitedFor) {
  ASSERT_EQ(::mkfifo((dir_ / "pipe").c_str(), 0600), 0);
  error_of(ErrorKind::kInput, [&] { read_file(dir_ / "pipe"); });
  error_of(ErrorKind::kInput, [&] { MappedFile map(dir_ / "pipe"); });
  error_of(ErrorKind::kInput, [&] { hash128_of_file(dir_ / "pipe"); });
  error_of(ErrorKind::kIo, [&] { AppendFile file(dir_ / "pipe"); });  // nobody reads it
  error_of(ErrorKind::kInput, [&] { AppendFile file("/dev/null"); });
  error_of(ErrorKind::kInput, [&] { read_file(dir_); });
  error_of(ErrorKind::kIo, [&] { read_file(dir_ / "none"); });
}

TEST_F(Files, FoldersAreOldOrNew) {
  const auto fill = [](const char* text) {
    return [text](const Path& beside) {
      fs::create_directory(beside / "inner");
      write_file(beside / "inner" / "f", text);
    };
  };
  replace_folder(dir_ / "folder", fill("one"));
  EXPECT_EQ(read_file(dir_ / "folder" / "inner" / "f"), "one");
  write_file(dir_ / "folder" / "more", "gone with the old one");
  replace_folder(dir_ / "folder", fill("two"));
  EXPECT_EQ(read_file(dir_ / "folder" / "inner" / "f"), "two");
  EXPECT_FALSE(fs::exists(dir_ / "folder" / "more"));
  EXPECT_EQ(entries(), 1u);
  EXPECT_THROW(replace_folder(dir_ / "folder",
                              [&](const Path& beside) {
                                fill("three")(beside);
                                throw std::runtime_error("in the middle");
                              }),
               std::runtime_error);
  write_file(dir_ / "file", "in the way");
  error_of(ErrorKind::kIo, [&] { replace_folder(dir_ / "file" / "folder", fill("four")); });
  EXPECT_EQ(read_file(dir_ / "folder" / "inner" / "f"), "two");
}

}  // namespace
}  // namespace tenth
