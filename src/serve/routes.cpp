// The small routes.
#include "serve/routes.h"

#include <openssl/rand.h>

#include "base/error.h"
#include "serve/chat_messages.h"
#include "serve/fields.h"
#include "serve/sse.h"

namespace tenth {
namespace {

OrderedJson model_json(const Service& service) {
  return {{"id", service.model().name},
          {"object", "model"},
          {"created", service.created()},
          {"owned_by", "tenth"},
          {"max_model_len", service.context()}};
}

}  // namespace

std::string new_id(const char* prefix) {
  unsigned char bytes[12];
  require(RAND_bytes(bytes, sizeof bytes) == 1, ErrorKind::kInternal, "no random bytes");
  std::string y = prefix;
  for (unsigned char byte : bytes) y += fmt::format("{:02x}", byte);
  return y;
}

void start(const Call& call, std::unique_ptr<ReplyWriter> writer, std::vector<EngineRequest> requests,
           const ReplyParser::Options& reply, int64_t prompt_tokens) {
  auto generation = std::make_shared<Generation>(call.service.model().tokenizer, call.exchange, std::move(writer),
                                                 std::move(requests), reply, prompt_tokens);
  generation->arrived = call.arrived;
  call.service.start(std::move(generation));
}

void list_models(const Call& call) {
  reply_json(*call.exchange, 200, {{"object", "list"}, {"data", OrderedJson::array({model_json(call.service)})}});
}

void show_model(const Call& call) {
  const std::string name = call.request.path.substr(std::string("/v1/models/").size());
  if (name != call.service.model().name)
    throw ApiError(404, "not_found_error", fmt::format("there is no model \"{}\" here", name), "model",
                   "model_not_found");
  reply_json(*call.exchange, 200, model_json(call.service));
}

void tokenize(const Call& call) {
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  const Tokenizer& tokenizer = call.service.model().tokenizer;
  std::vector<int32_t> ids;
  if (fields.has("messages")) {
    ids = render_chat(read_chat(fields, call.service), call.service).ids;
  } else {
    const std::string text = fields.text(fields.has("content") ? "content" : "prompt", "");
    ids = tokenizer.encode(text, fields.flag("parse_special", true));
    if (fields.flag("add_special_tokens", fields.flag("add_special", false))) ids = tokenizer.with_template(ids);
  }
  reply_json(*call.exchange, 200, {{"tokens", ids}, {"count", ids.size()}, {"max_model_len", call.service.context()}});
}

void detokenize(const Call& call) {
  const OrderedJson body = parse_body(call.request.body);
  const Fields fields(body);
  std::vector<int32_t> ids;
  const Tokenizer& tokenizer = call.service.model().tokenizer;
  for (const OrderedJson& id : fields.required_list("tokens")) {
    if (!id.is_number_integer() || id < 0 || id >= tokenizer.vocab_size())
      throw invalid_field("tokens", fmt::format("expected ids below {}, got {}", tokenizer.vocab_size(), id.dump()));
    ids.push_back(id.get<int32_t>());
  }
  const std::string text = tokenizer.decode(ids, false);
  reply_json(*call.exchange, 200, {{"prompt", text}, {"content", text}});
}

void apply_template(const Call& call) {
  const OrderedJson body = parse_body(call.request.body);
  const ChatRequest chat = read_chat(Fields(body), call.service);
  reply_json(*call.exchange, 200, {{"prompt", chat_of(call.service).render(chat).text()}});
}

void health(const Call& call) {
  constexpr double kSilence = 60;  // no step of a model that fits takes so long
  const bool stuck = call.service.engine().silent_seconds() > kSilence;
  if (call.service.draining() || stuck)
    return reply_json(*call.exchange, 503, {{"status", stuck ? "the engine does not answer" : "shutting down"}});
  reply_json(*call.exchange, 200, {{"status", "ok"}});
}

void version(const Call& call) { reply_json(*call.exchange, 200, {{"version", "0.1.0"}}); }

}  // namespace tenth
