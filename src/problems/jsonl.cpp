#include "problems/jsonl.h"

#include "base/error.h"
#include "base/json.h"
#include "problems/answer.h"
#include "problems/options.h"
#include "problems/response.h"

namespace tenth {
namespace {

// How shared/data/reasoning/README.md scores its tasks; others are numeric (or text where the answer is no number).
Compare compare_for(const std::string& task) {
  static const std::map<std::string, Compare> kTable = {{"basic_arithmetic", Compare::kText},
                                                        {"gcd", Compare::kText},
                                                        {"lcm", Compare::kText},
                                                        {"letter_counting", Compare::kText},
                                                        {"simple_equations", Compare::kText},
                                                        {"binary_alternation", Compare::kText},
                                                        {"base_conversion", Compare::kText},
                                                        {"chain_sum", Compare::kDecimal},
                                                        {"products", Compare::kDecimal},
                                                        {"countdown", Compare::kSignedExpression},
                                                        {"number_sorting", Compare::kList},
                                                        {"prime_factorization", Compare::kFactors},
                                                        {"spell_backward", Compare::kIgnoreCase}};
  const auto found = kTable.find(task);
  return found == kTable.end() ? Compare::kNumeric : found->second;
}

const Json& field(const Json& object, const char* name, const std::string& where) {
  const auto found = object.find(name);
  require(found != object.end(), ErrorKind::kInput, "{}: expected a field {}, got none", where, name);
  return *found;
}

std::string text_field(const Json& object, const char* name, const std::string& where) {
  const Json& value = field(object, name, where);
  if (value.is_number()) return value.dump();
  require(value.is_string(), ErrorKind::kInput, "{}: {}: expected a string, got {}", where, name, value.type_name());
  return value.get<std::string>();
}

int64_t integer(const Json& value, const char* name, const std::string& where) {
  constexpr int64_t kLimit = 1'000'000'000'000;
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= uint64_t(kLimit)
                                               : value.is_number_integer() && value.get<int64_t>() >= -kLimit;
  require(fits, ErrorKind::kInput, "{}: metadata.{}: expected whole numbers of at most 12 digits, got {}", where, name,
          value.type_name());
  return value.get<int64_t>();
}

// The numbers and target of a countdown item.
void read_expression_facts(const Json& object, const std::string& where, Problem& problem) {
  const Json& metadata = field(object, "metadata", where);
  require(metadata.is_object(), ErrorKind::kInput, "{}: metadata: expected an object, got {}", where,
          metadata.type_name());
  const Json& numbers = field(metadata, "numbers", where);
  require(numbers.is_array(), ErrorKind::kInput, "{}: metadata.numbers: expected a list, got {}", where,
          numbers.type_name());
  for (const Json& number : numbers) problem.numbers.push_back(integer(number, "numbers", where));
  problem.target = integer(field(metadata, "target", where), "target", where);
}

Problem read_problem(std::string_view line, const std::string& where, bool exact) {
  const Json object = parse_json(line, where);
  require(object.is_object(), ErrorKind::kInput, "{}: expected an object, got {}", where, object.type_name());
  Problem problem;
  problem.question = text_field(object, "question", where);
  const std::string solution = text_field(object, "answer", where);
  problem.answer = reference_answer(solution);
  require(!problem.answer.empty(), ErrorKind::kInput, "{}: answer: expected some text, got none", where);
  if (problem.answer.size() < solution.size()) problem.solution = solution;
  problem.key = problem.question;
  const bool named = object.contains("task");
  problem.compare = named ? compare_for(text_field(object, "task", where)) : Compare::kNumeric;
  if (problem.compare == Compare::kSignedExpression) read_expression_facts(object, where, problem);
  if (exact) problem.compare = Compare::kText;
  return problem;
}

// GSM8K marks calculations <<48/2=24>> and ends with the line of the answer: neither belongs to the thinking.
std::string thinking_of(const std::string& solution) {
  const std::string_view text = std::string_view(solution).substr(0, solution.rfind("####"));
  std::string clean;
  size_t at = 0;
  while (true) {
    const size_t begin = text.find("<<", at);
    const size_t end = begin == std::string_view::npos ? begin : text.find(">>", begin);
    if (end == std::string_view::npos) break;
    clean += text.substr(at, begin - at);
    at = end + 2;
  }
  clean += text.substr(at);
  while (clean.ends_with('\n')) clean.pop_back();
  return clean;
}

}  // namespace

JsonlTask::JsonlTask(const Path& file, const TaskOptions& options) : file_(file.string()) {
  OptionReader reader("jsonl", options);
  thinking_ = reader.integer("thinking", 1, 0, 1) == 1;
  exact_ = reader.integer("exact", 0, 0, 1) == 1;
  reader.finish();
  const std::string bytes = read_file(file);
  int line_number = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    const std::string_view line = std::string_view(bytes).substr(at, end - at);
    at = end + 1;
    line_number++;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    problems_.push_back(read_problem(line, fmt::format("{}:{}", file_, line_number), exact_));
    if (!is_held_out(problems_.back().key)) training_.push_back(problems_.size() - 1);
  }
  require(!problems_.empty(), ErrorKind::kInput, "{}: expected problems, one JSON object a line, got none", file_);
}

Problem JsonlTask::draw(Rng& rng) const {
  require(!training_.empty(), ErrorKind::kInput, "{}: all {} problems are held out: none is left to train on", file_,
          problems_.size());
  return problems_[training_[rng.below(training_.size())]];
}

std::vector<Problem> JsonlTask::held_out(int count) const {
  std::vector<Problem> held;
  for (const Problem& problem : problems_) {
    if (int(held.size()) >= count) break;
    if (is_held_out(problem.key)) held.push_back(problem);
  }
  return held;
}

std::string JsonlTask::demonstration(const Problem& problem, Rng&) const {
  return format_response(thinking_of(problem.solution), problem.answer);
}

Document JsonlTask::document(Rng& rng) const {
  const Problem problem = draw(rng);
  return {.question = problem.question, .text = demonstration(problem, rng)};
}

Reward JsonlTask::reward(const Problem& problem, std::string_view response, bool finished) const {
  Reward reward;
  const auto answer = find_answer(response, thinking_);
  reward.accuracy = answer && is_right(problem, *answer);
  reward.format = finished && answer;
  reward.total = reward.format * reward.accuracy;
  return reward;
}

}  // namespace tenth
