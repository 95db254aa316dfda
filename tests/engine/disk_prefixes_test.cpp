// Beginnings that were computed before a restart: found again, to the bit, and by the same model alone.
#include "engine/disk_prefixes.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "engine/engine.h"
#include "engine/engine_util.h"

namespace tenth::testing {
namespace {

namespace fs = std::filesystem;

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  int64_t cached = 0;
};

std::map<uint64_t, Answer> run(Engine& engine, const std::vector<EngineRequest>& requests) {
  std::map<uint64_t, Answer> answers;
  for (const EngineRequest& request : requests) engine.add(request);
  std::vector<EngineEvent> events;
  while (!engine.idle()) {
    events.clear();
    engine.step(events);
    for (const EngineEvent& event : events) {
      Answer& answer = answers[event.request];
      EXPECT_NE(event.kind, EngineEvent::Kind::kFailed) << event.error;
      if (event.kind == EngineEvent::Kind::kStarted) answer.cached = event.cached_tokens;
      if (event.kind != EngineEvent::Kind::kToken) continue;
      answer.ids.push_back(event.token.id);
      answer.logprobs.push_back(event.token.logprob);
    }
  }
  EXPECT_EQ(engine.statistics().blocks_in_use, 0);
  return answers;
}

void expect_same(const std::map<uint64_t, Answer>& got, const std::map<uint64_t, Answer>& want, const char* what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (const auto& [id, answer] : want) {
    EXPECT_EQ(got.at(id).ids, answer.ids) << what << ", request " << id;
    EXPECT_EQ(got.at(id).logprobs, answer.logprobs) << what << ", request " << id;
  }
}

// Two that begin alike, one that ends where a block does, a short one.
std::vector<EngineRequest> requests_for(const ModelConfig& config) {
  Rng rng(11);
  std::vector<EngineRequest> requests;
  const std::vector<int32_t> common = random_ids(rng, 130, config.vocab_size);
  for (const int64_t length : {200, 270, 192, 50}) {
    EngineRequest& r = requests.emplace_back();
    r.id = requests.size();
    r.prompt = random_ids(rng, length, config.vocab_size);
    if (r.id <= 2) std::copy(common.begin(), common.end(), r.prompt.begin());
    r.max_new_tokens = 80;
    r.top_logprobs = 0;
    r.sampling.temperature = r.id % 2 ? 0 : 0.9;
    r.sampling.seed = r.id;
  }
  return requests;
}

class DiskPrefixesTest : public ::testing::TestWithParam<std::string> {
 protected:
  DiskPrefixesTest() : folder_(fs::temp_directory_path() / fmt::format("tenth-disk-prefixes-{}", ::getpid())) {
    fs::remove_all(folder_);
  }
  ~DiskPrefixesTest() override {
    file_fault = nullptr;
    fs::remove_all(folder_);
  }
  std::unique_ptr<Transformer> model(DType compute = DType::kF32, uint64_t seed = 1) {
    return tiny_model(GetParam(), get_backend("cpu"), compute, seed);
  }
  EngineOptions options() const { return {.max_sequences = 4, .cache_tokens = 4096, .disk = {.folder = folder_}}; }
  static int64_t whole(const EngineRequest& request) { return (int64_t(request.prompt.size()) - 1) / 64 * 64; }

  Path folder_;
  std::vector<EngineRequest> requests_ = requests_for(tiny_config(GetParam()));
};

TEST_P(DiskPrefixesTest, ARestartChangesNoBit) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    fs::remove_all(folder_);
    auto memory = model(compute);
    Engine without(*memory, {.max_sequences = 4});
    const auto want = run(without, requests_);
    std::vector<EngineRequest> further = requests_;  // the answer is part of what is asked next
    for (EngineRequest& r : further) {
      r.prompt.insert(r.prompt.end(), want.at(r.id).ids.begin(), want.at(r.id).ids.end());
      r.prompt.push_back(5);
    }
    const auto want_further = run(without, further);
    {
      const auto first = model(compute);
      Engine engine(*first, options());
      expect_same(run(engine, requests_), want, "first");
      EXPECT_EQ(engine.statistics().restored_blocks, 0);
    }
    {
      const auto second = model(compute);
      Engine engine(*second, options());
      const auto got = run(engine, requests_);
      expect_same(got, want, "restored");
      for (const EngineRequest& r : requests_) EXPECT_EQ(got.at(r.id).cached, whole(r)) << r.id;
      const int64_t restored = engine.statistics().restored_blocks;
      EXPECT_GT(restored, 0);
      expect_same(run(engine, requests_), want, "from memory");
      EXPECT_EQ(engine.statistics().restored_blocks, restored);
    }
    const auto third = model(compute);
    Engine engine(*third, options());
    const auto got = run(engine, further);
    expect_same(got, want_further, "with answers");
    for (const EngineRequest& r : further) EXPECT_EQ(got.at(r.id).cached, whole(r)) << r.id;
  }
}

// A cache with room for one: sequences give way while others restore, and come back.
TEST_P(DiskPrefixesTest, ASmallCacheChangesNoBit) {
  const auto one = model();
  Engine without(*one, {.max_sequences = 4});
  const auto want = run(without, requests_);
  for (int round = 0; round < 3; round++) {
    const auto again = model();
    EngineOptions small = options();
    small.cache_tokens = 384;
    small.step_tokens = 64;
    Engine engine(*again, small);
    expect_same(run(engine, requests_), want, "in a small cache");
    engine.disk()->flush();  // what is still to be written is not there to be restored
    expect_same(run(engine, requests_), want, "in a small cache, again");
    EXPECT_GT(engine.statistics().restored_blocks, 0) << "what was pushed out of memory is on disk";
  }
}

TEST_P(DiskPrefixesTest, NothingIsTakenForARequestThatWantsItsPromptScored) {
  const auto one = model();
  EngineRequest request = requests_[0];
  request.prompt_logprobs = true;
  std::vector<EngineRequest> scored = {request};
  for (int round = 0; round < 2; round++) {
    Engine engine(*one, options());
    EXPECT_EQ(run(engine, scored).at(request.id).cached, 0);
  }
}

TEST_P(DiskPrefixesTest, OtherModelsFindNothing) {
  const auto one = model();
  { run(*std::make_unique<Engine>(*one, options()), requests_); }
  const auto restored = [&](Transformer& other) {
    Engine engine(other, options());
    run(engine, {requests_[0]});
    return engine.statistics().restored_blocks;
  };
  EXPECT_EQ(restored(*model()), 3);
  EXPECT_EQ(restored(*model(DType::kF32, 2)), 0) << "other weights";
  EXPECT_EQ(restored(*model(DType::kBF16)), 0) << "another type";
  // Weight after weight, one bit of one of its numbers.
  const auto changed = model();
  for (const Parameter& parameter : changed->parameters()) {
    const Tensor value = parameter.value();
    uint32_t* last = static_cast<uint32_t*>(value.raw()) + value.count() - 1;
    *last ^= 1;
    changed->refresh();
    EXPECT_EQ(restored(*changed), 0) << parameter.name;
    *last ^= 1;
  }
  changed->refresh();
  EXPECT_EQ(restored(*changed), 3);
  ModelConfig config = tiny_config(GetParam());
  config.rope_theta = 10001;
  Transformer turned(config, get_backend("cpu"), DType::kF32);
  initialize(turned, 1, config.tie_word_embeddings ? 0.3 : 1);
  EXPECT_EQ(restored(turned), 0) << "another config";
}

TEST_P(DiskPrefixesTest, DamagedFilesAreComputedAgain) {
  const auto one = model();
  Engine without(*one, {.max_sequences = 4});
  const auto want = run(without, requests_);
  Rng rng(5);
  for (int round = 0; round < 6; round++) {
    { run(*std::make_unique<Engine>(*one, options()), requests_); }
    for (const auto& entry : fs::directory_iterator(folder_)) {
      if (entry.path().extension() != ".kv" || rng.chance(0.5)) continue;
      std::string bytes = read_file(entry.path());
      const size_t at = size_t(rng.below(bytes.size()));
      if (round % 2)
        bytes[at] = char(bytes[at] ^ 0x10);
      else
        bytes.resize(at);
      write_file_unsynced(entry.path(), bytes);
    }
    Engine engine(*one, options());
    expect_same(run(engine, requests_), want, "damaged");
    expect_same(run(engine, requests_), want, "damaged, again");
  }
}

TEST_P(DiskPrefixesTest, AFullDiskChangesNoBit) {
  const auto one = model();
  Engine without(*one, {.max_sequences = 4});
  const auto want = run(without, requests_);
  file_fault = [](FileCall call, const Path&) { return call == FileCall::kWrite ? ENOSPC : 0; };
  ::testing::internal::CaptureStderr();
  Engine engine(*one, options());
  expect_same(run(engine, requests_), want, "no room");
  const auto again = run(engine, requests_);
  engine.disk()->flush();
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  expect_same(again, want, "no room, from memory");
  EXPECT_EQ(again.at(1).cached, whole(requests_[0]));
  EXPECT_EQ(engine.disk()->statistics().blocks, 0);
}

TEST_P(DiskPrefixesTest, TheBoundHolds) {
  const auto one = model();
  EngineOptions bounded = options();
  bounded.disk.bytes = 64 << 10;
  Rng rng(2);
  Engine engine(*one, bounded);
  for (int round = 0; round < 8; round++) {
    std::vector<EngineRequest> requests = requests_;
    for (EngineRequest& r : requests) r.prompt = random_ids(rng, int64_t(r.prompt.size()), 40);
    run(engine, requests);
    engine.disk()->flush();
    int64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      struct stat status;
      ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
      bytes += entry.path().extension() == ".kv" ? int64_t(status.st_blocks) * 512 : 0;
    }
    EXPECT_GT(bytes, 0);
    EXPECT_LE(bytes, bounded.disk.bytes);
    EXPECT_EQ(engine.disk()->statistics().bytes, bytes);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, DiskPrefixesTest, ::testing::Values("gqa", "mla"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tenth::testing
