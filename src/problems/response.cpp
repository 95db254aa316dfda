#include "problems/response.h"

#include <initializer_list>

#include "problems/number.h"

namespace tenth {
namespace {

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>", kAnswer = "<answer>", kAnswerEnd = "</answer>";

bool has_tag(std::string_view text) {
  for (const std::string_view tag : {kThink, kThinkEnd, kAnswer, kAnswerEnd})
    if (text.find(tag) != std::string_view::npos) return true;
  return false;
}

std::optional<std::string_view> last_tagged(std::string_view text) {
  const size_t end = text.rfind(kAnswerEnd);
  if (end == std::string_view::npos) return std::nullopt;
  const size_t begin = text.substr(0, end).rfind(kAnswer);
  if (begin == std::string_view::npos) return std::nullopt;
  return text.substr(begin + kAnswer.size(), end - begin - kAnswer.size());
}

std::optional<std::string_view> last_boxed(std::string_view text) {
  constexpr std::string_view kBoxed = "\\boxed{";
  const size_t at = text.rfind(kBoxed);
  if (at == std::string_view::npos) return std::nullopt;
  const size_t begin = at + kBoxed.size();
  int depth = 1;
  for (size_t i = begin; i < text.size(); i++) {
    if (text[i] == '{') depth++;
    if (text[i] == '}' && --depth == 0) return text.substr(begin, i - begin);
  }
  return std::nullopt;
}

std::optional<std::string_view> last_hashes(std::string_view text) {
  const size_t at = text.rfind("####");
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = text.substr(at + 4);
  return rest.substr(0, rest.find('\n'));
}

}  // namespace

Response parse_response(std::string_view text) {
  Response response;
  const size_t end = text.find(kThinkEnd);
  if (end == std::string_view::npos) return response;
  response.thinking = text.substr(0, end);
  const std::string_view rest = trim(text.substr(end + kThinkEnd.size()));
  if (!rest.starts_with(kAnswer) || !rest.ends_with(kAnswerEnd) || rest.size() < kAnswer.size() + kAnswerEnd.size())
    return response;
  response.answer = trim(rest.substr(kAnswer.size(), rest.size() - kAnswer.size() - kAnswerEnd.size()));
  response.well_formed = !has_tag(response.thinking) && !has_tag(response.answer);
  return response;
}

std::optional<std::string_view> find_answer(std::string_view text, bool thinking) {
  if (const size_t end = text.rfind(kThinkEnd); end != std::string_view::npos)
    text.remove_prefix(end + kThinkEnd.size());
  else if (thinking || text.find(kThink) != std::string_view::npos)
    return std::nullopt;
  for (const auto& find : {last_tagged, last_boxed, last_hashes})
    if (const auto answer = find(text)) return trim(*answer);
  return std::nullopt;
}

std::string_view reference_answer(std::string_view solution) {
  if (const auto answer = last_hashes(solution)) return trim(*answer);
  if (const auto answer = last_boxed(solution)) return trim(*answer);
  return trim(solution);
}

std::string format_response(std::string_view thinking, std::string_view answer) {
  std::string text(thinking);
  text += kThinkEnd;
  text += kAnswer;
  text += answer;
  text += kAnswerEnd;
  return text;
}

}  // namespace tenth
