#include "problems/problem.h"

#include <array>

#include "base/error.h"
#include "base/text.h"
#include "problems/answer.h"
#include "problems/drawn_task.h"
#include "problems/jsonl.h"
#include "problems/response.h"

namespace tenth {

Reward Task::reward(const Problem& problem, std::string_view response, bool finished) const {
  const Response parsed = parse_response(response);
  const auto answer = find_answer(response, true);
  Reward reward;
  reward.accuracy = answer && is_right(problem, *answer);
  reward.format = finished && parsed.well_formed;
  reward.total = reward.format * reward.accuracy;
  return reward;
}

std::vector<std::string> task_names() { return {"chain", "countdown", "gcd", "sort", "jsonl"}; }

std::unique_ptr<Task> make_task(const std::string& name, const TaskOptions& options, const Path& file) {
  if (name == "jsonl") {
    require(!file.empty(), ErrorKind::kInput, "task jsonl: expected a file of problems, got none");
    return std::make_unique<JsonlTask>(file, options);
  }
  require(file.empty(), ErrorKind::kInput, "task {}: takes no file, got {} (did you mean task jsonl?)", name,
          file.string());
  if (name == "chain") return make_chain_task(options);
  if (name == "countdown") return make_countdown_task(options);
  if (name == "gcd") return make_gcd_task(options);
  if (name == "sort") return make_sort_task(options);
  fail(ErrorKind::kInput, "task: expected one of chain, countdown, gcd, sort, jsonl, got {}{}", name,
       did_you_mean(name, task_names()));
}

std::vector<std::string> number_words() {
  std::vector<std::string> words = {"+", "-", "*", "=", "(", ")", ",", " ", ">", "?", ":", ";", "✗", "✓"};
  for (int i = 0; i < 100; i++) words.push_back(std::to_string(i));
  return words;
}

uint32_t crc32(std::string_view bytes) {
  static const auto kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; i++) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320u ^ (value >> 1) : value >> 1;
      table[i] = value;
    }
    return table;
  }();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char byte : bytes) crc = kTable[(crc ^ uint8_t(byte)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

bool is_held_out(std::string_view key) { return crc32(key) % 8 == 0; }

}  // namespace tenth
