#include "hub/pull.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "hub/digest.h"
#include "hub/http.h"

namespace tenth {
namespace {

namespace fs = std::filesystem;

constexpr int kAttempts = 5;  // in a row without a byte
constexpr size_t kLongestList = size_t(64) << 20;

struct HubFile {
  std::string path;  // in the repository
  std::string hash;
  int64_t size;
};

std::string escaped(const std::string& path) {
  std::string out;
  for (const unsigned char c : path)
    out += std::isalnum(c) || std::strchr("-._~/", c) ? std::string(1, char(c)) : fmt::format("%{:02X}", c);
  return out;
}

bool is_hex(const std::string& text, size_t length) {
  return text.size() == length && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// A path that stays within the snapshot.
bool is_safe(const std::string& path) {
  if (path.empty() || path.size() > 1000) return false;
  size_t begin = 0;
  while (begin <= path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    const bool control = std::any_of(part.begin(), part.end(), [](unsigned char c) { return c < 32 || c == 127; });
    if (part.empty() || part == "." || part == ".." || part.size() > 250 || control) return false;
    begin = end + 1;
  }
  return true;
}

// A lock that other tools take too (huggingface_hub), so that two of them do not write one file.
class FileLock {
 public:
  explicit FileLock(const Path& path) {
    fs::create_directories(path.parent_path());
    fd_ = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    require(fd_ >= 0, ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) break;  // a file system without locks
      require(!interrupted(), ErrorKind::kIo, "interrupted while another download of {} runs", path.stem().string());
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  }
  ~FileLock() { close(fd_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

class Pull {
 public:
  explicit Pull(const PullOptions& options)
      : options_(options), folder_(hub_folder(options.cache, options.name.name)) {}

  Path run() {
    read_list();
    choose();
    fs::create_directories(folder_ / "blobs");
    require_room();
    const Path snapshot = folder_ / "snapshots" / commit_;
    for (const HubFile& file : files_) {
      fetch(file);
      link(file, snapshot / file.path);
    }
    if (options_.name.revision != commit_) {
      const Path ref = folder_ / "refs" / options_.name.revision;
      fs::create_directories(ref.parent_path());
      write_file(ref, commit_);
    }
    return snapshot;
  }

 private:
  HttpRequest request(const std::string& path, int64_t first_byte = 0) const {
    return {options_.endpoint + path, options_.token, first_byte};
  }

  [[noreturn]] void refuse(const HttpResponse& response, const std::string& what) const {
    const std::string& name = options_.name.name;
    if (!response.reason.empty()) fail(ErrorKind::kIo, "{}: {}: {}", what, options_.endpoint, response.reason);
    if (response.status == 401 || response.status == 403)
      fail(ErrorKind::kInput, "{}: the hub refuses it ({}): it is private, gated or does not exist; {}", what,
           response.status,
           options_.token.empty() ? "set HF_TOKEN to a token that may read it"
                                  : "ask for access on its page, or set HF_TOKEN to another token");
    if (response.status == 404)
      fail(ErrorKind::kInput, "{}: not found on {}: is the name right, and the revision {}?", what, options_.endpoint,
           options_.name.revision);
    fail(ErrorKind::kIo, "{}: expected an answer 200 of {} for {}, got {}", what, options_.endpoint, name,
         response.status);
  }

  // The commit and its files.
  void read_list() {
    const std::string& name = options_.name.name;
    std::string body;
    const auto response =
        client_.get(request("/api/models/" + name + "/revision/" + escaped(options_.name.revision) + "?blobs=true"),
                    body, kLongestList);
    if (response.status != 200 || !response.reason.empty()) refuse(response, name);
    const std::string where = options_.endpoint + ": " + name;
    const Json json = parse_json(body, where);
    require(json.is_object() && json.contains("sha") && json["sha"].is_string() && json.contains("siblings") &&
                json["siblings"].is_array(),
            ErrorKind::kInput, "{}: expected an object with sha and siblings", where);
    commit_ = json["sha"].get<std::string>();
    require(is_hex(commit_, 40), ErrorKind::kInput, "{}: sha: expected 40 hexadecimal digits, got {}", where,
            commit_.substr(0, 60));
    for (const Json& entry : json["siblings"]) files_.push_back(file_of(entry, where));
  }

  static HubFile file_of(const Json& entry, const std::string& where) {
    auto text = [&](const Json& of, const char* key) {
      return of.is_object() && of.contains(key) && of[key].is_string() ? of[key].get<std::string>() : std::string();
    };
    HubFile file{text(entry, "rfilename"), text(entry, "blobId"), 0};
    require(is_safe(file.path), ErrorKind::kInput, "{}: expected paths of files within the model, got \"{}\"", where,
            file.path.substr(0, 200));
    const Json size = entry.contains("size") ? entry["size"] : Json();
    if (entry.contains("lfs") && entry["lfs"].is_object()) file.hash = text(entry["lfs"], "sha256");
    require(is_hex(file.hash, 64) || is_hex(file.hash, 40), ErrorKind::kInput, "{}: {}: expected a hash, got \"{}\"",
            where, file.path, file.hash.substr(0, 100));
    require(size.is_number_unsigned() && size.get<uint64_t>() < (uint64_t(1) << 50), ErrorKind::kInput,
            "{}: {}: expected a size, got {}", where, file.path, size.dump());
    file.size = size.get<int64_t>();
    return file;
  }

  static bool matches(const std::string& path, const std::vector<std::string>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return fnmatch(pattern.c_str(), path.c_str(), 0) == 0; });
  }

  void choose() {
    const bool asked = !options_.include.empty();
    static const std::vector<std::string> kModel = {"*.safetensors", "*.json", "*.jinja", "*.txt", "*.md", "LICENSE*"};
    std::string others;
    const auto all = std::exchange(files_, {});
    bool weights = false;
    for (const HubFile& file : all) {
      const bool top = file.path.find('/') == std::string::npos;
      const bool wanted = asked ? matches(file.path, options_.include) : top && matches(file.path, kModel);
      if (wanted) files_.push_back(file);
      weights = weights || (wanted && file.path.ends_with(".safetensors"));
      if (!wanted && others.size() < 300) others += (others.empty() ? "" : ", ") + file.path;
    }
    require(asked ? !files_.empty() : weights, ErrorKind::kInput, "{}: expected {}; choose with --include among: {}",
            options_.name.name, asked ? "files that match --include" : "a model in safetensors", others);
    for (const HubFile& file : files_) total_ += file.size;
  }

  void require_room() const {
    int64_t needed = 0;
    for (const HubFile& file : files_) {
      std::error_code none;
      if (fs::exists(blob(file), none)) continue;
      const auto part = fs::file_size(partial(file), none);
      needed += file.size - (none ? 0 : std::min<int64_t>(file.size, int64_t(part)));
    }
    const auto room = int64_t(free_bytes(folder_));
    require(needed <= room, ErrorKind::kIo, "{}: expected {} bytes free in {}, got {}", options_.name.name, needed,
            options_.cache.string(), room);
  }

  Path blob(const HubFile& file) const { return folder_ / "blobs" / file.hash; }
  Path partial(const HubFile& file) const { return folder_ / "blobs" / (file.hash + ".incomplete"); }

  void report(int64_t of_this) const {
    if (options_.progress) options_.progress(done_ + of_this, total_);
  }

  void fetch(const HubFile& file) {
    const FileLock lock(options_.cache / ".locks" / folder_.filename() / (file.hash + ".lock"));
    std::error_code none;
    if (!fs::exists(blob(file), none)) download(file);
    done_ += file.size;
    report(0);
  }

  void download(const HubFile& file) {
    const Path path = partial(file);
    for (int failures = 0;;) {
      std::error_code none;
      int64_t have = fs::exists(path, none) ? int64_t(fs::file_size(path, none)) : 0;
      if (have > file.size) have = (fs::resize_file(path, 0), 0);
      if (have == file.size && (have > 0 || fs::exists(path, none))) break;
      const HttpResponse response = go_on(file, have);
      require(!interrupted(), ErrorKind::kIo, "{}: interrupted; the next pull goes on", file.path);
      const auto now = fs::exists(path, none) ? int64_t(fs::file_size(path, none)) : 0;
      if (now == file.size) break;
      const bool refused = response.status >= 400 && response.status < 500 && response.status != 416 &&
                           response.status != 408 && response.status != 429;
      if (refused) refuse(response, file.path);
      if (now > have) failures = 0;
      if (++failures > kAttempts) {
        if (response.reason.empty()) refuse(response, file.path);
        fail(ErrorKind::kIo, "{}: the connection breaks ({}) with {} of {} bytes here; the next pull goes on",
             file.path, response.reason, now, file.size);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50 << std::min(failures, 6)));
    }
    check(file);
  }

  // Asks for the bytes from `have` on and appends what comes to the part that is here.
  HttpResponse go_on(const HubFile& file, int64_t have) {
    const Path path = partial(file);
    const int fd = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    require(fd >= 0, ErrorKind::kIo, "{}: cannot open: {}", path.string(), std::strerror(errno));
    const std::unique_ptr<const int, void (*)(const int*)> closer(&fd, [](const int* f) { close(*f); });
    int64_t at = have;
    bool begun = false;
    auto body = [&](const HttpResponse& response, std::span<const std::byte> bytes) {
      if (!std::exchange(begun, true) && !begins_at(response, have)) {
        require(response.status == 200 && ftruncate(fd, 0) == 0, ErrorKind::kIo,
                "{}: expected the bytes from {} on, got others", file.path, have);
        at = 0;  // the whole file
      }
      require(at + int64_t(bytes.size()) <= file.size, ErrorKind::kInput, "{}: expected {} bytes, got more", file.path,
              file.size);
      write_at(fd, path, bytes, at);
      at += int64_t(bytes.size());
      report(at);
      return true;
    };
    const std::string url = "/" + options_.name.name + "/resolve/" + commit_ + "/" + escaped(file.path);
    return client_.get(request(url, have), body);
  }

  static bool begins_at(const HttpResponse& response, int64_t first) {
    if (first == 0) return response.status == 200;
    const auto range = response.headers.find("content-range");
    return response.status == 206 && range != response.headers.end() &&
           range->second.starts_with(fmt::format("bytes {}-", first));
  }

  static void write_at(int fd, const Path& path, std::span<const std::byte> bytes, int64_t at) {
    while (!bytes.empty()) {
      const ssize_t written = pwrite(fd, bytes.data(), bytes.size(), at);
      if (written < 0 && errno == EINTR) continue;
      require(written > 0, ErrorKind::kIo, "{}: cannot write: {}", path.string(), std::strerror(errno));
      bytes = bytes.subspan(size_t(written));
      at += written;
    }
  }

  void check(const HubFile& file) const {
    const Path path = partial(file);
    FileDigest digest(file.hash, file.size);
    read_pieces(path, [&](std::span<const std::byte> bytes) { digest.add(bytes); });
    if (const std::string got = digest.hex(); got != file.hash) {
      fs::remove(path);
      fail(ErrorKind::kInput, "{}: expected {} {}, got {}: what was downloaded is deleted; pull again", file.path,
           file.hash.size() == 64 ? "SHA-256" : "git's SHA-1", file.hash, got);
    }
    fs::rename(path, blob(file));
  }

  void link(const HubFile& file, const Path& path) const {
    std::error_code none;
    if (fs::exists(path, none)) return;
    fs::create_directories(path.parent_path());
    fs::remove(path, none);  // a link to nothing
    Path target = Path("..") / ".." / "blobs" / file.hash;
    for (const char c : file.path)
      if (c == '/') target = ".." / target;
    fs::create_symlink(target, path);
  }

  const PullOptions& options_;
  const Path folder_;
  HttpClient client_;
  std::string commit_;
  std::vector<HubFile> files_;
  int64_t total_ = 0, done_ = 0;
};

}  // namespace

std::string hub_endpoint() {
  const char* endpoint = std::getenv("HF_ENDPOINT");
  std::string text = endpoint && *endpoint ? endpoint : "https://huggingface.co";
  while (text.ends_with('/')) text.pop_back();
  return text;
}

std::string hub_token() {
  const char* token = std::getenv("HF_TOKEN");
  const std::string text = token ? token : "";
  require(text.find_first_of("\r\n \t") == text.npos, ErrorKind::kInput,
          "HF_TOKEN: expected a token, got one with a space or line end in it");
  return text;
}

Path pull(const PullOptions& options) {
  try {
    return Pull(options).run();
  } catch (const fs::filesystem_error& e) {
    fail(ErrorKind::kIo, "{}", e.what());
  }
}

}  // namespace tenth
