#include "train/metrics.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/error.h"
#include "base/json.h"

namespace tenth {
namespace {

class Metrics : public ::testing::Test {
 protected:
  Metrics() : dir_(std::filesystem::temp_directory_path() / fmt::format("tenth-metrics-{}", ::getpid())) {
    std::filesystem::remove_all(dir_);
  }
  ~Metrics() override { std::filesystem::remove_all(dir_); }

  std::string file() const { return read_file(dir_ / "metrics.jsonl"); }
  void append(const std::string& text) { std::ofstream(dir_ / "metrics.jsonl", std::ios::app) << text; }
  std::vector<Path> event_files() const {
    std::vector<Path> files;
    for (const auto& entry : std::filesystem::directory_iterator(dir_))
      if (entry.path().filename().string().find("tfevents") != std::string::npos) files.push_back(entry.path());
    return files;
  }

  Path dir_;
};

TEST_F(Metrics, WritesOneObjectALineAtOnce) {
  MetricsWriter metrics(dir_ / "a" / "b");
  metrics.write("rl", 5, {{"reward", 0.5}, {"entropy", std::nan("")}, {"gap", 1.0 / 0.0}});
  const std::string text = read_file(dir_ / "a" / "b" / "metrics.jsonl");  // while the writer is open
  ASSERT_EQ(text.back(), '\n');
  const Json line = parse_json(text, "line");
  EXPECT_EQ(line["step"], 5);
  EXPECT_EQ(line["stage"], "rl");
  EXPECT_EQ(line["reward"], 0.5);
  EXPECT_TRUE(line["entropy"].is_null());
  EXPECT_TRUE(line["gap"].is_null());
  EXPECT_GE(line["wall"].get<double>(), 0);
  EXPECT_THROW(metrics.write("rl", 6, {{"step", 1}}), Error);
}

TEST_F(Metrics, KeepsSeriesAndAppendsOnResume) {
  {
    MetricsWriter metrics(dir_);
    metrics.write("sft", 1, {{"loss", 2}});
    metrics.write("rl", 1, {{"loss", 9}, {"reward", 0.25}});
  }
  MetricsWriter metrics(dir_);
  metrics.write("rl", 2, {{"reward", 0.75}});
  const MetricSeries reward = metrics.series("rl", "reward");
  EXPECT_EQ(reward.steps, (std::vector<double>{1, 2}));
  EXPECT_EQ(reward.values, (std::vector<double>{0.25, 0.75}));
  EXPECT_EQ(metrics.last("sft", "loss"), 2.0);
  EXPECT_FALSE(metrics.last("sft", "reward"));
  EXPECT_GE(metrics.records()[2].wall, metrics.records()[1].wall);
  const std::string text = file();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_EQ(event_files().size(), 1u);
}

TEST_F(Metrics, ALastLineCutByAKillIsDropped) {
  MetricsWriter(dir_).write("sft", 1, {{"loss", 2}});
  const std::string before = file();
  append("{\"step\":2,\"sta");
  MetricsWriter metrics(dir_);
  EXPECT_EQ(metrics.records().size(), 1u);
  EXPECT_EQ(file(), before);
}

TEST_F(Metrics, WhatIsNoRecordIsRefusedWithItsLine) {
  const auto refusal = [&](const std::string& line) {
    std::filesystem::remove_all(dir_);
    MetricsWriter(dir_).write("sft", 1, {{"loss", 2}});
    append(line + "\n");
    try {
      MetricsWriter again(dir_);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const std::string place = (dir_ / "metrics.jsonl").string() + ":2: ";
  EXPECT_EQ(refusal("[1]"), place + "expected an object, got array");
  EXPECT_EQ(refusal("{\"step\":1}"), place + "stage: missing");
  EXPECT_EQ(refusal("{\"step\":\"1\",\"stage\":\"a\",\"wall\":1,\"time\":1}"), place + "step: has the wrong type");
  EXPECT_EQ(refusal("{\"step\":1,\"stage\":\"a\",\"wall\":1,\"time\":1,\"x\":[]}"),
            place + "expected a number or null under each name, got array");
  EXPECT_NE(refusal("{").find(place + "not valid JSON"), std::string::npos);
}

TEST_F(Metrics, RewindForgetsWhatCameAfterTheState) {
  {
    MetricsWriter metrics(dir_);
    metrics.write("train", 9, {{"loss", 3}});
    for (int step = 1; step <= 4; step++) metrics.write("sft", step, {{"loss", step}});
    metrics.write("rl", 1, {{"reward", 1}});
  }
  MetricsWriter metrics(dir_);
  metrics.rewind("sft", 2);
  EXPECT_EQ(metrics.series("train", "loss").values, (std::vector<double>{3}));
  EXPECT_EQ(metrics.series("sft", "loss").values, (std::vector<double>{1, 2}));
  EXPECT_TRUE(metrics.series("rl", "reward").values.empty());
  metrics.write("sft", 3, {{"loss", 7}});
  const MetricsWriter again(dir_);
  EXPECT_EQ(again.series("sft", "loss").values, (std::vector<double>{1, 2, 7}));
  EXPECT_EQ(again.records().size(), 4u);
}

TEST_F(Metrics, AFolderThatCannotBeMadeIsOneLine) {
  EXPECT_THROW(MetricsWriter("/proc/nothing/here"), Error);
  MetricsWriter fine(dir_);
  EXPECT_THROW(MetricsWriter(dir_ / "metrics.jsonl"), Error);
}

TEST(Tensorboard, ChecksumsOfThePublishedVectors) {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(masked_crc32c("123456789"), 0xC78AB0E5u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);    // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);  // the same
  const std::string length("\x18\0\0\0\0\0\0\0", 8);
  EXPECT_EQ(crc32c(length), 0x4A65BFE4u);
  EXPECT_EQ(masked_crc32c(length), 0x224B7FA3u);
}

std::string hex(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02x}", uint8_t(byte));
  return text;
}

TEST(Tensorboard, RecordsAreByteExact) {
  EXPECT_EQ(hex(tensorboard_version_record(1.0)),
            "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a");
  EXPECT_EQ(hex(tensorboard_scalar_record(2.0, 5, {{"loss", 1.5}})),
            "1a00000000000000129bd82d09000000000000004010052a0d0a0b0a046c6f7373150000c03f838961ae");
}

TEST_F(Metrics, EventFileHoldsTheTaggedScalars) {
  MetricsWriter metrics(dir_);
  metrics.write("rl", 300, {{"reward", 0.5}});
  const std::vector<Path> files = event_files();
  ASSERT_EQ(files.size(), 1u);
  const std::string bytes = read_file(files[0]);
  EXPECT_EQ(bytes.size(), 12 + 24 + 4 + (12 + 9 + 3 + 2 + 2 + 2 + 9 + 5 + 4));
  EXPECT_NE(bytes.find("rl/reward"), std::string::npos);
}

}  // namespace
}  // namespace tenth
