#include "chat/chat_request.h"

#include "base/error.h"

namespace tenth {

Origin origin_of(const OrderedJson& message) {
  const auto role = message.find("role");
  return role != message.end() && *role == "assistant" ? Origin::kModel : Origin::kUser;
}

ChatRequest read_chat_request(const OrderedJson& json, const std::string& where) {
  require(json.is_object(), ErrorKind::kInput, "{}: expected an object, got {}", where, json.type_name());
  ChatRequest request;
  auto member = [&](const char* key) { return json.contains(key) ? json.at(key) : OrderedJson(); };
  request.messages = member("messages");
  request.tools = member("tools");
  request.kwargs = member("kwargs");
  require(request.messages.is_array(), ErrorKind::kInput, "{}: messages: expected a list, got {}", where,
          request.messages.type_name());
  for (size_t i = 0; i < request.messages.size(); i++)
    require(request.messages[i].is_object(), ErrorKind::kInput, "{}: messages[{}]: expected an object, got {}", where,
            i, request.messages[i].type_name());
  require(request.tools.is_null() || request.tools.is_array(), ErrorKind::kInput, "{}: tools: expected a list, got {}",
          where, request.tools.type_name());
  if (request.kwargs.is_null()) request.kwargs = OrderedJson::object();
  require(request.kwargs.is_object(), ErrorKind::kInput, "{}: kwargs: expected an object, got {}", where,
          request.kwargs.type_name());
  return request;
}

}  // namespace tenth
