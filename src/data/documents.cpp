#include "data/documents.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"
#include "base/utf8.h"

namespace tenth {
namespace {

bool is_text_file(const Path& path) { return path.extension() == ".txt"; }

void check_name(const Path& path) {
  const Path name = path.extension() == ".zst" ? path.stem() : path;
  require(is_text_file(path) || name.extension() == ".jsonl", ErrorKind::kInput,
          "{}: expected a file .txt, .jsonl or .jsonl.zst", path.string());
}

// The text of {"text": …}.
std::string text_of(const std::string& line, const std::string& where) {
  const size_t good = well_formed_prefix(line);
  require(good == line.size(), ErrorKind::kInput, "{}: expected UTF-8, got a byte 0x{:02x} at {} that is not", where,
          good < line.size() ? uint8_t(line[good]) : 0, good);
  Json json = parse_json(line, where);
  require(json.is_object() && json.contains("text"), ErrorKind::kInput, "{}: expected {{\"text\": …}}, got {}", where,
          json.is_object() ? "an object without text" : json.type_name());
  auto* text = json["text"].get_ptr<std::string*>();
  require(text != nullptr, ErrorKind::kInput, "{}: text: expected a string, got {}", where, json["text"].type_name());
  return std::move(*text);
}

}  // namespace

DocumentReader::DocumentReader(std::vector<Path> files, bool skip_bad) : files_(std::move(files)), skip_bad_(skip_bad) {
  require(!files_.empty(), ErrorKind::kInput, "expected one or more files of text, got none");
  for (const Path& path : files_) {
    check_name(path);
    LineReader opens(path);
    bytes_ += int64_t(std::filesystem::file_size(path));
  }
}

int64_t DocumentReader::bytes_read() const { return bytes_done_ + (lines_ ? lines_->bytes_read() : 0); }

void DocumentReader::read_text_file(std::string& text) {
  const Path& path = files_[file_ - 1];
  const auto size = std::filesystem::file_size(path);
  require(size <= kMaxTextFile, ErrorKind::kInput,
          "{}: expected at most {} bytes in a .txt file, which is one document, got {}: write documents as lines of "
          ".jsonl",
          path.string(), kMaxTextFile, size);
  text = read_file(path, kMaxTextFile);
  bytes_done_ += int64_t(text.size());
  const size_t good = well_formed_prefix(text);
  require(good == text.size(), ErrorKind::kInput, "{}: expected UTF-8, got a byte 0x{:02x} at {} that is not",
          path.string(), good < text.size() ? uint8_t(text[good]) : 0, good);
}

bool DocumentReader::read_line(std::string& text) {
  auto got = LineReader::Next::kLine;
  do {
    got = lines_->next(line_);
    if (got == LineReader::Next::kEnd) return false;
  } while (line_.find_first_not_of(" \t\r") == line_.npos);
  const std::string where = fmt::format("{}:{}", lines_->name(), lines_->number());
  require(got == LineReader::Next::kLine, ErrorKind::kInput,
          "{}: expected a line of at most {} bytes, got a longer one", where, LineReader::kMaxLine);
  text = text_of(line_, where);
  return true;
}

bool DocumentReader::read_one(std::string& text) {
  if (lines_) {
    if (read_line(text)) return true;
    bytes_done_ += lines_->bytes_read();
    lines_.reset();
  }
  while (file_ < files_.size()) {
    const Path& path = files_[file_++];
    if (is_text_file(path)) {
      read_text_file(text);
      return true;
    }
    lines_ = std::make_unique<LineReader>(path);
    if (read_line(text)) return true;
    bytes_done_ += lines_->bytes_read();
    lines_.reset();
  }
  return false;
}

bool DocumentReader::next(std::string& text) {
  for (;;) {
    try {
      if (!read_one(text)) return false;
    } catch (const Error& error) {
      if (!skip_bad_ || error.kind() != ErrorKind::kInput) throw;
      if (counts_.bad++ == 0) counts_.first_bad = error.what();
      continue;
    }
    if (text.empty()) {
      counts_.empty++;
    } else if (!seen_.insert(hash128(text)).second) {
      counts_.duplicates++;
    } else {
      counts_.documents++;
      counts_.text_bytes += int64_t(text.size());
      return true;
    }
  }
}

}  // namespace tenth
