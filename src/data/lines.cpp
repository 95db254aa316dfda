#include "data/lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace tenth {

// Bytes of the file, unpacked.
class LineReader::Source {
 public:
  explicit Source(const Path& path) : name_(path.string()) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe without a writer opens too
    if (fd >= 0) file_.reset(::fdopen(fd, "rb"));
    require(file_ != nullptr, ErrorKind::kIo, "{}: cannot open: {}", name_, std::strerror(errno));
    struct stat status;
    require(::fstat(fd, &status) == 0 && S_ISREG(status.st_mode), ErrorKind::kInput,
            "{}: expected a file, got a folder or a device", name_);
    if (path.extension() == ".zst") unpacker_.reset(ZSTD_createDStream());
  }

  int64_t bytes_read() const { return bytes_read_; }

  // The next bytes, empty at the end. line: for errors.
  void read(std::string& out, int64_t line) {
    out.clear();
    if (!unpacker_) return read_file(out);
    while (out.empty()) {
      if (input_.pos == input_.size) {
        read_file(packed_);
        input_ = {packed_.data(), packed_.size(), 0};
        if (packed_.empty()) {
          require(!within_frame_, ErrorKind::kInput,
                  "{}:{}: the zstandard data ends within a frame: the file was cut short; fetch or write it again",
                  name_, line);
          return;
        }
      }
      out.resize(kBlock);
      ZSTD_outBuffer output{out.data(), out.size(), 0};
      const size_t left = ZSTD_decompressStream(unpacker_.get(), &output, &input_);
      require(!ZSTD_isError(left), ErrorKind::kInput, "{}:{}: damaged zstandard data: {}; fetch or write it again",
              name_, line, ZSTD_getErrorName(left));
      within_frame_ = left != 0;
      out.resize(output.pos);
    }
  }

 private:
  static constexpr size_t kBlock = 1 << 17;

  void read_file(std::string& out) {
    out.resize(kBlock);
    out.resize(std::fread(out.data(), 1, out.size(), file_.get()));
    require(std::ferror(file_.get()) == 0, ErrorKind::kIo, "{}: cannot read: {}", name_, std::strerror(errno));
    bytes_read_ += int64_t(out.size());
  }

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  std::string name_;
  std::unique_ptr<std::FILE, Close> file_;
  std::unique_ptr<ZSTD_DStream, Close> unpacker_;
  std::string packed_;
  ZSTD_inBuffer input_{nullptr, 0, 0};
  bool within_frame_ = false;
  int64_t bytes_read_ = 0;
};

LineReader::LineReader(const Path& path) : name_(path.string()), source_(std::make_unique<Source>(path)) {}
LineReader::~LineReader() = default;

int64_t LineReader::bytes_read() const { return source_->bytes_read(); }

bool LineReader::fill() {
  if (ended_) return false;
  ended_ = true;  // stays so where the read throws
  block_.clear();
  at_ = 0;
  source_->read(spare_, number_);
  block_.swap(spare_);
  ended_ = block_.empty();
  return !ended_;
}

LineReader::Next LineReader::next(std::string& line) {
  line.clear();
  number_++;
  if (at_ == block_.size() && !fill()) return Next::kEnd;
  bool too_long = false;
  do {
    const size_t newline = block_.find('\n', at_);
    const size_t end = newline == block_.npos ? block_.size() : newline;
    too_long |= line.size() + (end - at_) > kMaxLine;
    if (!too_long) line.append(block_, at_, end - at_);
    at_ = end;
    if (newline != block_.npos) {
      at_++;
      break;
    }
  } while (fill());
  return too_long ? Next::kTooLong : Next::kLine;
}

}  // namespace tenth
