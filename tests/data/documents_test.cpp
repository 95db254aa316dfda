#include "data/documents.h"

#include <sys/stat.h>

#include "data_util.h"

namespace tenth::testing {
namespace {

class Documents : public DataTest {
 protected:
  static std::vector<std::string> read(const std::vector<Path>& files, bool skip_bad = false,
                                       DocumentCounts* counts = nullptr) {
    DocumentReader reader(files, skip_bad);
    std::vector<std::string> texts;
    for (std::string text; reader.next(text);) texts.push_back(text);
    EXPECT_EQ(reader.bytes_read(), reader.bytes());
    if (counts) *counts = reader.counts();
    return texts;
  }
  // Refused with this text; with skip_bad one is left out and the good documents around it are there.
  void expect_bad(const std::string& line, const std::string& error) const {
    const Path file = put("bad.jsonl", line_of("one") + line + "\n" + line_of("two"));
    expect_in("bad.jsonl:2: ", error_text([&] { read({file}); }));
    expect_in(error, error_text([&] { read({file}); }));
    DocumentCounts counts;
    EXPECT_EQ(read({file}, true, &counts), (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(counts.bad, 1);
    expect_in(error, counts.first_bad);
  }
};

TEST_F(Documents, OfAllFormsInOrder) {
  const std::vector<Path> files = {
      put("a.txt", "first\nfile"), put("b.jsonl", line_of("b1") + "\n \r\n" + line_of("b2")),
      put("c.jsonl.zst",
          packed(line_of("c1")) + packed(line_of("c2") + "{\"text\": \"c3\"}")),  // two frames, no newline
      put("d.jsonl", ""), put("e.jsonl.zst", "")};
  DocumentCounts counts;
  EXPECT_EQ(read(files, false, &counts), (std::vector<std::string>{"first\nfile", "b1", "b2", "c1", "c2", "c3"}));
  EXPECT_EQ(counts.documents, 6);
  EXPECT_EQ(counts.text_bytes, 20);
}

TEST_F(Documents, EmptyOnesAndCopiesAreCounted) {
  const Path file = put("a.jsonl", line_of("one") + line_of("") + line_of("two") + line_of("one") + line_of("one "));
  DocumentCounts counts;
  EXPECT_EQ(read({file, file, put("b.txt", "two"), put("c.txt", "")}, false, &counts),
            (std::vector<std::string>{"one", "two", "one "}));
  EXPECT_EQ(counts.duplicates, 1 + 4 + 1);
  EXPECT_EQ(counts.empty, 3);
}

TEST_F(Documents, BadLines) {
  expect_bad("{\"text\": \"x\"", "not valid JSON");
  expect_bad("{\"text\": \"x\"} {}", "not valid JSON");
  expect_bad("{\"txt\": \"x\"}", "got an object without text");
  expect_bad("[1]", "got array");
  expect_bad("{\"text\": 5}", "text: expected a string, got number");
  expect_bad("{\"text\": \"\xff\"}", "expected UTF-8, got a byte 0xff at 10");
  expect_bad("{\"text\": \"\xed\xa0\x80\"}", "expected UTF-8");
  expect_bad("{\"text\": \"\\ud800\"}", "not valid JSON");
  expect_bad(std::string(100000, '['), "expected nesting of at most");
  expect_bad("{\"text\": \"" + std::string(LineReader::kMaxLine, 'x') + "\"}", "expected a line of at most 67108864");
}

TEST_F(Documents, ALineOf64MbIsFine) {
  const std::string text(LineReader::kMaxLine - 12, 'x');
  EXPECT_EQ(read({put("a.jsonl.zst", packed("{\"text\": \"" + text + "\"}\n"))}).at(0).size(), text.size());
}

TEST_F(Documents, BadTextFile) {
  const Path file = put("a.txt", "good \xc3( bad");
  expect_in("a.txt: expected UTF-8, got a byte 0xc3 at 5", error_text([&] { read({file}); }));
  DocumentCounts counts;
  EXPECT_EQ(read({file, put("b.txt", "good")}, true, &counts), (std::vector<std::string>{"good"}));
  EXPECT_EQ(counts.bad, 1);
}

TEST_F(Documents, DamagedZstandard) {
  std::string lines;
  for (int i = 0; i < 20000; i++) lines += line_of(document(i, 20));
  const std::string whole = packed(lines);
  for (const size_t length : {size_t(1), size_t(5), whole.size() / 2, whole.size() - 1}) {
    const Path file = put("cut.jsonl.zst", whole.substr(0, length));
    expect_in("the zstandard data ends within a frame", error_text([&] { read({file}); }));
    DocumentCounts counts;
    DocumentReader reader({file, put("b.txt", "behind")}, true);
    std::string text, last;
    while (reader.next(text)) last = text;
    EXPECT_EQ(reader.counts().bad, 1);
    EXPECT_EQ(last, "behind");
  }
  std::string damaged = whole;
  for (size_t i = 0; i < 8; i++) damaged[damaged.size() / 2 + i] ^= 0x55;
  const std::string error = error_text([&] { read({put("bad.jsonl.zst", damaged)}); });
  expect_in("bad.jsonl.zst:", error);
  expect_in("zstandard", error);
  expect_in("damaged zstandard data", error_text([&] { read({put("no.jsonl.zst", "this is no zstandard file")}); }));
}

TEST_F(Documents, WrongFiles) {
  expect_in("expected a file .txt, .jsonl or .jsonl.zst", error_text([&] { read({put("a.parquet", "x")}); }));
  expect_in("cannot open: No such file", error_text([&] { read({folder_ / "none.jsonl"}); }));
  std::filesystem::create_directory(folder_ / "dir.jsonl");
  expect_in("got a folder", error_text([&] { read({folder_ / "dir.jsonl"}, true); }));
  ASSERT_EQ(::mkfifo((folder_ / "pipe.jsonl").c_str(), 0600), 0);
  expect_in("expected a file", error_text([&] { read({folder_ / "pipe.jsonl"}, true); }));
  expect_in("expected one or more files", error_text([&] { read({}); }));
}

}  // namespace
}  // namespace tenth::testing
