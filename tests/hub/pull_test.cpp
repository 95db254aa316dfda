// Downloads from a small hub of our own (fake_hub.py): whole, cut off, wrong, refused, redirected.
#include "hub/pull.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/error.h"
#include "base/json.h"
#include "hub/digest.h"
#include "hub/http.h"

namespace tenth {
namespace {

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

// The script as a child; it ends when its input does.
class FakeHub {
 public:
  FakeHub() {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) || ::pipe2(out, O_CLOEXEC)) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::execlp("python3", "python3", TENTH_SOURCE_DIR "/tests/hub/fake_hub.py", nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    std::FILE* lines = ::fdopen(out[0], "r");
    if (std::fscanf(lines, "%d %d", &hub_, &store_) != 2) std::abort();
    std::fclose(lines);
  }
  ~FakeHub() {
    ::close(in_);
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  std::string endpoint() const { return fmt::format("http://127.0.0.1:{}", hub_); }

 private:
  pid_t pid_;
  int in_, hub_ = 0, store_ = 0;
};

class PullTest : public ::testing::Test {
 protected:
  PullTest() : cache_(std::filesystem::temp_directory_path() / fmt::format("tenth-hub-{}", ::getpid())) {
    std::filesystem::remove_all(cache_);
    std::filesystem::create_directories(cache_);
  }
  ~PullTest() override { std::filesystem::remove_all(cache_); }

  PullOptions options(const std::string& name, std::vector<std::string> include = {}) const {
    return {.name = *parse_hub_name(name),
            .endpoint = hub().endpoint(),
            .token = "secret",
            .cache = cache_,
            .include = std::move(include),
            .progress = {}};
  }
  static const FakeHub& hub() {
    static const FakeHub one;
    return one;
  }
  static Json seen() {  // requests: [to the store?, path, Authorization, Range]
    std::string body;
    HttpClient().get({hub().endpoint() + "/_seen", "", 0}, body, 1 << 20);
    return parse_json(body, "seen");
  }
  std::string error_of(const std::string& name, std::vector<std::string> include = {}) const {
    try {
      return "none: " + pull(options(name, std::move(include))).string();
    } catch (const Error& e) {
      return e.what();
    }
  }
  Path folder(const std::string& name) const { return hub_folder(cache_, name); }

  const Path cache_;
};

std::string weights() {
  std::string bytes;
  for (int64_t i = 0; i < 300'000; i++) bytes += char(i * i % 251);
  return bytes;
}

TEST_F(PullTest, FilesInTheLayoutOfTheCache) {
  int64_t last = 0, total = 0;
  PullOptions o = options("owner/plain");
  o.progress = [&](int64_t done, int64_t of) {
    EXPECT_GE(done, last);
    last = done;
    total = of;
  };
  const Path snapshot = pull(o);
  EXPECT_EQ(snapshot, cache_ / "models--owner--plain" / "snapshots" / kCommit);
  EXPECT_EQ(read_file(snapshot / "model.safetensors"), weights());
  EXPECT_EQ(read_file(snapshot / "config.json"), "{\"model_type\": \"llama\"}");
  EXPECT_FALSE(std::filesystem::exists(snapshot / "pytorch_model.bin"));
  EXPECT_FALSE(std::filesystem::exists(snapshot / "onnx"));
  EXPECT_EQ(read_file(folder("owner/plain") / "refs/main"), kCommit);
  EXPECT_EQ(std::filesystem::read_symlink(snapshot / "config.json").parent_path(), "../../blobs");
  EXPECT_EQ(last, total);
  const size_t before = seen().size();
  EXPECT_EQ(pull(options("owner/plain")), snapshot);
  EXPECT_EQ(seen().size(), before + 1);  // the list alone
  EXPECT_EQ(pull(options("owner/plain", {"onnx/*"})), snapshot);
  EXPECT_EQ(read_file(snapshot / "onnx/model.onnx"), "not wanted");
}

TEST_F(PullTest, RevisionsAndNames) {
  const Path snapshot = pull(options("owner/plain@v1.0"));
  EXPECT_EQ(read_file(folder("owner/plain") / "refs/v1.0"), kCommit);
  EXPECT_EQ(find_snapshot(cache_, {"owner/plain", "v1.0"}), snapshot);
  EXPECT_EQ(find_snapshot(cache_, {"owner/plain", kCommit}), snapshot);
  EXPECT_EQ(find_snapshot(cache_, {"owner/plain", "main"}), std::nullopt);
  EXPECT_NE(error_of("owner/plain@none").find("is the name right, and the revision none?"), std::string::npos);
  for (const char* name : {"plain", "a/b/c", "../b", "a/..", "a/b@../c", "", "/b", "a/-b", "a--x/b", "a/b@"})
    EXPECT_EQ(parse_hub_name(name), std::nullopt) << name;
}

TEST_F(PullTest, GoesOnWhereItWasCut) {
  for (const std::string name : {"owner/cut", "owner/whole"}) {  // the latter knows no ranges
    const Path snapshot = pull(options(name));
    EXPECT_EQ(read_file(snapshot / "model.safetensors"), weights());
  }
  bool from_the_middle = false;
  for (const Json& request : seen())
    from_the_middle =
        from_the_middle || (request[1].get<std::string>().starts_with("/owner/cut/") && request[3] == "bytes=150000-");
  EXPECT_TRUE(from_the_middle);
}

TEST_F(PullTest, APartFromAnEarlierPull) {
  const Path blobs = folder("owner/plain") / "blobs";
  std::filesystem::create_directories(blobs);
  FileDigest digest(std::string(64, '0'), 0);
  const std::string all = weights();
  digest.add(std::as_bytes(std::span(all)));
  const std::string hash = digest.hex();
  write_file(blobs / (hash + ".incomplete"), all.substr(0, 100'000));
  EXPECT_EQ(read_file(pull(options("owner/plain")) / "model.safetensors"), all);
  const Json requests = seen();
  EXPECT_TRUE(std::any_of(requests.begin(), requests.end(), [](const Json& r) { return r[3] == "bytes=100000-"; }));
  // A part with other bytes is found out at the end, and not used.
  std::filesystem::remove_all(folder("owner/plain") / "snapshots");
  std::filesystem::remove(blobs / hash);
  write_file(blobs / (hash + ".incomplete"), std::string(100'000, 'x'));
  EXPECT_NE(error_of("owner/plain").find("model.safetensors: expected SHA-256 " + hash), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(blobs / hash));
  EXPECT_FALSE(std::filesystem::exists(blobs / (hash + ".incomplete")));
  EXPECT_EQ(read_file(pull(options("owner/plain")) / "model.safetensors"), all);
}

TEST_F(PullTest, WrongBytesAreNamedAndNeverUsed) {
  EXPECT_NE(error_of("owner/wrong").find("model.safetensors: expected SHA-256"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder("owner/wrong") / "snapshots" / kCommit / "model.safetensors"));
  EXPECT_EQ(find_snapshot(cache_, {"owner/wrong", "main"}), std::nullopt);
  EXPECT_NE(error_of("owner/longer").find("expected 23 bytes, got more"), std::string::npos);
  EXPECT_NE(error_of("owner/always").find("the next pull goes on"), std::string::npos);
}

TEST_F(PullTest, WhatAHubRefuses) {
  EXPECT_NE(error_of("owner/gated").find("the hub refuses it (401)"), std::string::npos);
  EXPECT_NE(error_of("owner/none").find("owner/none: not found"), std::string::npos);
  EXPECT_NE(error_of("owner/circle").find("at most 10 redirects"), std::string::npos);
  EXPECT_NE(error_of("owner/broken").find("not valid JSON"), std::string::npos);
  EXPECT_NE(error_of("owner/evil").find("expected paths of files within the model"), std::string::npos);
  EXPECT_NE(error_of("owner/gguf").find("choose with --include among: a-Q8_0.gguf, b-Q4_0.gguf"), std::string::npos);
  EXPECT_NE(error_of("owner/plain", {"*.bin2"}).find("files that match --include"), std::string::npos);
  PullOptions o = options("owner/plain");
  o.endpoint = "http://127.0.0.1:1";
  EXPECT_THROW((void)pull(o), Error);
}

TEST_F(PullTest, ATokenStaysWithItsHost) {
  pull(options("owner/moved"));
  int to_hub = 0, to_store = 0;
  for (const Json& request : seen()) {
    if (request[1].get<std::string>().find("owner/moved") == std::string::npos) continue;
    EXPECT_EQ(request[2], request[0] ? Json() : Json("Bearer secret")) << request;
    (request[0] ? to_store : to_hub)++;
  }
  EXPECT_GT(to_store, 0);
  EXPECT_GT(to_hub, to_store);
}

TEST_F(PullTest, ModelsByName) {
  ::setenv("HF_HUB_CACHE", cache_.c_str(), 1);
  const Path snapshot = pull(options("owner/plain"));
  EXPECT_EQ(find_model("owner/plain"), snapshot);
  EXPECT_EQ(find_model(snapshot.string()), snapshot);
  pull(options("owner/gguf", {"*Q8_0*"}));
  EXPECT_EQ(find_model("owner/gguf").filename(), "a-Q8_0.gguf");
  for (const std::string name : {"owner/other", "no folder"}) try {
      FAIL() << find_model(name);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_NE(std::string(e.what()).find(name == "no folder" ? "expected a folder" : "tenth pull owner/other"),
                std::string::npos);
    }
  ::unsetenv("HF_HUB_CACHE");
  ::setenv("HF_HOME", "/home/x", 1);
  EXPECT_EQ(hub_cache(), "/home/x/hub");
  ::unsetenv("HF_HOME");
}

}  // namespace
}  // namespace tenth
