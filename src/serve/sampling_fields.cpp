#include "serve/sampling_fields.h"

#include <charconv>
#include <random>

namespace tenth {

SamplingFields read_sampling(const Fields& fields, const Service& service, const std::vector<const char*>& limit_names,
                             const char* stop_name) {
  const ServiceLimits& limits = service.limits();
  SamplingFields y;
  SamplingParams& s = y.request.sampling;
  s.temperature = fields.number("temperature", 1, 0, 2);
  s.top_p = fields.number("top_p", 1, 0, 1);
  s.top_k = int(fields.integer("top_k", 0, -1, 1 << 30));
  if (s.top_k < 0) s.top_k = 0;  // vLLM's "off"
  s.min_p = fields.number("min_p", 0, 0, 1);
  s.repetition_penalty = fields.number("repetition_penalty", 1, 0.01, 100);
  s.seed = fields.has("seed") ? uint64_t(fields.integer("seed", 0, INT64_MIN, INT64_MAX)) : std::random_device{}();
  LogitRules& rules = y.request.rules;
  rules.presence_penalty = fields.number("presence_penalty", 0, -2, 2);
  rules.frequency_penalty = fields.number("frequency_penalty", 0, -2, 2);
  rules.min_new_tokens = int32_t(fields.integer("min_tokens", 0, 0, service.context()));
  y.choices = fields.integer("n", 1, 1, limits.choices);
  y.stops = fields.texts(stop_name, size_t(limits.stops), size_t(limits.stop_bytes));
  for (const char* name : limit_names) {
    if (!fields.has(name)) continue;
    y.request.max_new_tokens = int32_t(fields.integer(name, 0, 0, INT32_MAX));
    y.has_limit = true;
    break;
  }
  if (!fields.flag("ignore_eos", false)) y.request.stop_ids = service.model().stop_ids;
  const int64_t vocabulary = service.engine().engine().config().vocab_size;
  if (const OrderedJson* ids = fields.list("stop_token_ids"))
    for (const OrderedJson& id : *ids) {
      if (!id.is_number_integer() || id < 0 || id >= vocabulary || y.request.stop_ids.size() >= 256)
        throw invalid_field("stop_token_ids", fmt::format("expected ids below {}, got {}", vocabulary, id.dump()));
      y.request.stop_ids.push_back(id.get<int32_t>());
    }
  if (const auto bias = fields.object("logit_bias")) {
    const OrderedJson& json = *fields.find("logit_bias");
    if (int64_t(json.size()) > limits.logit_biases)
      throw invalid_field("logit_bias", fmt::format("expected at most {} entries", limits.logit_biases));
    for (const auto& [key, value] : json.items()) {
      int32_t id = -1;
      const auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (failed != std::errc() || end != key.data() + key.size() || id < 0 || id >= vocabulary)
        throw invalid_field("logit_bias", fmt::format("expected ids below {} as keys, got \"{}\"", vocabulary, key));
      rules.bias.emplace_back(id, float(bias->number(key.c_str(), 0, -100, 100)));
    }
  }
  return y;
}

void fit_context(SamplingFields& sampling, int64_t prompt_tokens, const Service& service, const char* prompt_name) {
  const int64_t room = service.longest_prompt() + 1, left = room - prompt_tokens;
  const int64_t wanted = sampling.has_limit ? sampling.request.max_new_tokens : 1;
  if (left < std::max<int64_t>(wanted, 1) && wanted > 0)
    throw ApiError(400, "invalid_request_error",
                   fmt::format("the prompt has {} tokens and at most {} new ones were asked for; there is room for {}",
                               prompt_tokens, wanted, room),
                   prompt_name, "context_length_exceeded");
  if (!sampling.has_limit) sampling.request.max_new_tokens = int32_t(left);
}

void check_model(const Fields& fields, const Service& service) {
  const std::string name = fields.text("model", service.model().name);
  if (name != service.model().name)
    throw ApiError(404, "not_found_error",
                   fmt::format("there is no model \"{}\" here; this server has \"{}\"", name, service.model().name),
                   "model", "model_not_found");
}

}  // namespace tenth
