#include "serve/api_error.h"

namespace tenth {
namespace {

OrderedJson or_null(const std::string& text) { return text.empty() ? OrderedJson() : OrderedJson(text); }

}  // namespace

OrderedJson ApiError::openai() const {
  return {{"error", {{"message", what()}, {"type", type_}, {"param", or_null(param_)}, {"code", or_null(code_)}}}};
}

OrderedJson ApiError::anthropic() const {
  const std::string type = status_ == 503 ? "overloaded_error" : status_ == 413 ? "request_too_large" : type_;
  return {{"type", "error"}, {"error", {{"type", type}, {"message", what()}}}};
}

ApiError invalid_field(const std::string& param, const std::string& message) {
  return ApiError(400, "invalid_request_error", param + ": " + message, param, "invalid_value");
}

}  // namespace tenth
