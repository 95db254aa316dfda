// What a client is told when its request is refused, in the shape of the API that it speaks.
#pragma once
#include <stdexcept>
#include <string>

#include "base/json.h"

namespace tenth {

class ApiError : public std::runtime_error {
 public:
  ApiError(int status, std::string type, const std::string& message, std::string param = "", std::string code = "")
      : std::runtime_error(message),
        status_(status),
        type_(std::move(type)),
        param_(std::move(param)),
        code_(std::move(code)) {}

  int status() const { return status_; }
  int retry_after() const { return status_ == 503 || status_ == 429 ? 1 : 0; }  // seconds; 0: no use
  // {"error": {"message", "type", "param", "code"}} (OpenAI)
  OrderedJson openai() const;
  // {"type": "error", "error": {"type", "message"}} (Anthropic)
  OrderedJson anthropic() const;

 private:
  int status_;
  std::string type_, param_, code_;
};

// 400 about a field of the body.
ApiError invalid_field(const std::string& param, const std::string& message);

}  // namespace tenth
