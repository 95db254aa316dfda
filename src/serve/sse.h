// Server-sent events (reference/serving.md, section 3.1).
#pragma once
#include <string>

#include "base/json.h"
#include "serve/http_server.h"

namespace tenth {

inline void begin_events(HttpExchange& exchange) {
  exchange.begin(200, {{"Content-Type", "text/event-stream; charset=utf-8"},
                       {"Cache-Control", "no-cache"},
                       {"X-Accel-Buffering", "no"}});
}
inline std::string text_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}
inline void send_event(HttpExchange& exchange, const OrderedJson& data) {
  exchange.write("data: " + text_of(data) + "\n\n");
}
// With a name, as Anthropic and Responses have it.
inline void send_event(HttpExchange& exchange, const std::string& name, const OrderedJson& data) {
  exchange.write("event: " + name + "\ndata: " + text_of(data) + "\n\n");
}
inline void reply_json(HttpExchange& exchange, int status, const OrderedJson& json, HttpHeaders headers = {}) {
  headers.emplace_back("Content-Type", "application/json");
  exchange.reply(status, std::move(headers), text_of(json));
}

}  // namespace tenth
