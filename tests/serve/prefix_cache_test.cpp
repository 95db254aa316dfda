// What clients and metrics see of beginnings that were kept on disk.
#include "serve/server_util.h"

namespace tenth::testing {
namespace {

TEST(PrefixCacheOnDisk, UsageAndMetricsTellWhatARestartFound) {
  const Path folder = std::filesystem::temp_directory_path() / fmt::format("tenth-serve-prefixes-{}", ::getpid());
  std::filesystem::remove_all(folder);
  EngineOptions engine;
  engine.disk.folder = folder;
  Json prompt = Json::array();
  for (int i = 0; i < 300; i++) prompt.push_back(5 + i * i % 17);
  const std::string body =
      Json{{"prompt", prompt}, {"max_tokens", 8}, {"temperature", 0}, {"logprobs", 1}, {"ignore_eos", true}}.dump();
  Json said;
  for (int64_t cached : {0, 256}) {
    TestServer server({}, engine);
    const Json reply = post(server.port(), "/v1/completions", body).json();
    ASSERT_EQ(reply["usage"]["prompt_tokens_details"]["cached_tokens"], cached) << reply;
    if (cached) {
      EXPECT_EQ(reply["choices"], said);
    }
    said = reply["choices"];
    server.idle();
    const std::string metrics = get(server.port(), "/metrics").body;
    EXPECT_NE(
        metrics.find(fmt::format("tenth_prefix_disk_restored_blocks_total{{model_name=\"tiny\"}} {}\n", cached / 64)),
        std::string::npos)
        << metrics;
    if (cached) {
      EXPECT_NE(metrics.find("tenth_prefix_disk_blocks{model_name=\"tiny\"} 4\n"), std::string::npos) << metrics;
    }
    EXPECT_NE(metrics.find("tenth_prefix_disk_bytes{model_name=\"tiny\"} "), std::string::npos);
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tenth::testing
