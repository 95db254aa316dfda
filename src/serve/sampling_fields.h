// The fields of a request that say how to generate: the same in every API, but for their names.
#pragma once
#include "engine/engine.h"
#include "serve/fields.h"
#include "serve/service.h"

namespace tenth {

struct SamplingFields {
  EngineRequest request;  // all but prompt and top_logprobs
  std::vector<std::string> stops;
  int64_t choices = 1;
  bool has_limit = false;  // max_new_tokens was given; else what the context leaves
};

// temperature, top_p, top_k, min_p, seed, n, stop, penalties, logit_bias, min_tokens, ignore_eos, stop_token_ids, and
// the first of limit_names that is there. Throws ApiError 400 naming the field.
SamplingFields read_sampling(const Fields& fields, const Service& service, const std::vector<const char*>& limit_names,
                             const char* stop_name = "stop");

// Sets the limit where none was given. Throws ApiError 400 context_length_exceeded where prompt and limit do not fit.
void fit_context(SamplingFields& sampling, int64_t prompt_tokens, const Service& service, const char* prompt_name);

// Throws ApiError 404 unless it is the model that is served.
void check_model(const Fields& fields, const Service& service);

}  // namespace tenth
