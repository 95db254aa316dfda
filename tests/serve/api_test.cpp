// The routes: what OpenAI's clients rely on, refusals by the field's name, and ten thousand requests that no one meant.
#include "base/rng.h"
#include "serve/server_util.h"

namespace tenth::testing {
namespace {

const char* const kChat = R"({"model": "tiny", "messages": [{"role": "user", "content": "3+5=?"}], "max_tokens": 12,
                              "temperature": 0)";

std::string chat(const std::string& more = "") { return kChat + (more.empty() ? "}" : ", " + more + "}"); }

TEST(Api, AStreamSaysWhatTheWholeReplyDoes) {
  TestServer server;
  const Json whole = post(server.port(), "/v1/chat/completions", chat()).json();
  ASSERT_EQ(whole["object"], "chat.completion") << whole;
  const Json message = whole["choices"][0]["message"];
  const Reply reply =
      post(server.port(), "/v1/chat/completions", chat(R"("stream": true, "stream_options": {"include_usage": true})"));
  EXPECT_NE(reply.head.find("text/event-stream"), std::string::npos);
  const std::vector<std::string> events = events_of(reply.body);
  ASSERT_GE(events.size(), 4u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string content, reasoning, finish;
  std::string id;
  for (size_t i = 0; i + 1 < events.size(); i++) {
    const Json chunk = Json::parse(events[i]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    if (i == 0) id = chunk["id"];
    EXPECT_EQ(chunk["id"], id);
    if (i + 2 == events.size()) {
      EXPECT_TRUE(chunk["choices"].empty());
      EXPECT_EQ(chunk["usage"]["completion_tokens"], whole["usage"]["completion_tokens"]);
      continue;
    }
    EXPECT_TRUE(chunk["usage"].is_null());
    const Json& choice = chunk["choices"][0];
    EXPECT_EQ(choice["delta"].contains("role"), i == 0);
    content += choice["delta"].value("content", "");
    reasoning += choice["delta"].value("reasoning_content", "");
    if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
  }
  EXPECT_EQ(content, message["content"].get<std::string>());
  EXPECT_EQ(reasoning, message.value("reasoning_content", ""));
  EXPECT_EQ(finish, whole["choices"][0]["finish_reason"].get<std::string>());
}

TEST(Api, SeedsAndCompanyDecideNothing) {
  TestServer server;
  const std::string body = R"({"prompt": [5, 6, 7], "max_tokens": 20, "seed": 7, "n": 3, "ignore_eos": true})";
  const Json want = post(server.port(), "/v1/completions", body).json()["choices"];
  ASSERT_EQ(want.size(), 3u);
  EXPECT_NE(want[0]["text"], want[1]["text"]);
  std::vector<std::thread> clients;
  for (int i = 0; i < 6; i++)
    clients.emplace_back([&] {
      for (int round = 0; round < 5; round++)
        EXPECT_EQ(post(server.port(), "/v1/completions", body).json()["choices"], want);
    });
  for (std::thread& client : clients) client.join();
  EXPECT_NE(post(server.port(), "/v1/completions", R"({"prompt": [5, 6, 7], "max_tokens": 20, "seed": 8,
            "ignore_eos": true})")
                .json()["choices"][0]["text"],
            want[0]["text"]);
}

TEST(Api, EchoAndLogprobsAsHarnessesReadThem) {
  TestServer server;
  const Json reply = post(server.port(), "/v1/completions",
                          R"({"prompt": [[5, 6, 7], [8]], "max_tokens": 1, "temperature": 0, "echo": true,
                              "logprobs": 2})")
                         .json();
  ASSERT_EQ(reply["choices"].size(), 2u) << reply;
  const Json& logprobs = reply["choices"][0]["logprobs"];
  ASSERT_EQ(logprobs["token_logprobs"].size(), 4u);
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  for (size_t i = 1; i < 4; i++) {
    EXPECT_LT(logprobs["token_logprobs"][i].get<double>(), 0);
    EXPECT_EQ(logprobs["top_logprobs"][i].size(), 2u);
  }
  // The drawn token is the likeliest.
  EXPECT_EQ(logprobs["token_logprobs"][3], logprobs["top_logprobs"][3][logprobs["tokens"][3].get<std::string>()]);
  const Json scored =
      post(server.port(), "/v1/completions", R"({"prompt": [5, 6, 7], "max_tokens": 0, "echo": true, "logprobs": 1})")
          .json();
  EXPECT_EQ(scored["choices"][0]["logprobs"]["token_logprobs"].size(), 3u) << scored;
  EXPECT_EQ(scored["choices"][0]["logprobs"]["token_logprobs"][2], logprobs["token_logprobs"][2]);
}

TEST(Api, PrefixesAreFoundAndChangeNothing) {
  TestServer server;
  Json ids = Json::array();
  for (int i = 0; i < 200; i++) ids.push_back(5 + i % 50);
  const Json body = {{"prompt", ids}, {"max_tokens", 5}, {"temperature", 0}};
  const Json first = post(server.port(), "/v1/completions", body.dump()).json();
  const Json second = post(server.port(), "/v1/completions", body.dump()).json();
  EXPECT_EQ(first["choices"], second["choices"]);
  EXPECT_EQ(first["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(second["usage"]["prompt_tokens_details"]["cached_tokens"], 192);
}

TEST(Api, RefusesByTheFieldsName) {
  TestServer server;
  const auto refuses = [&](const char* path, const std::string& body, int status, const std::string& param) {
    const Reply reply = post(server.port(), path, body);
    EXPECT_EQ(reply.status, status) << body << "\n" << reply.body;
    const Json error = reply.json()["error"];
    ASSERT_TRUE(error.is_object()) << body << "\n" << reply.body;
    EXPECT_TRUE(error["message"].is_string() && !error["message"].get<std::string>().empty());
    if (param.empty()) return;
    EXPECT_EQ(error.value("param", Json()), param) << body << "\n" << reply.body;
  };
  const char* path = "/v1/chat/completions";
  for (const char* body :
       {"", "{", "[]", "null", "5", "{\"a\": 1, \"a\": 2}", "{\"messages\": NaN}", "\xff\xfe", "{}x"})
    refuses(path, body, 400, "");
  refuses(path, std::string("{\"a\0\": 1}", 10), 400, "");
  std::string deep(100000, '[');
  refuses(path, deep, 400, "");
  refuses(path, "{\"model\": \"tiny\"}", 400, "messages");
  refuses(path, "{\"messages\": {}}", 400, "messages");
  refuses(path, "{\"messages\": [5]}", 400, "messages[0]");
  refuses(path, "{\"messages\": [{\"role\": \"robot\", \"content\": \"1\"}]}", 400, "messages[0].role");
  refuses(path, "{\"messages\": [{\"role\": \"user\"}]}", 400, "messages[0].content");
  refuses(path, "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\"}]}]}", 400,
          "messages[0].content[0].type");
  for (const char* value : {"3", "-1", "\"1\"", "[1]", "true"})
    refuses(path,
            fmt::format("{{\"messages\": [{{\"role\": \"user\", \"content\": \"1\"}}], \"temperature\": {}}}", value),
            400, "temperature");
  // What the chat template refuses, in its words; not where it lies.
  const Reply refused = post(server.port(), path, R"({"messages": [{"role": "system", "content": "1"}]})");
  EXPECT_EQ(refused.status, 400);
  const std::string message = refused.json()["error"]["message"];
  EXPECT_TRUE(message.starts_with("chat_template: line ")) << message;
  EXPECT_NE(message.find("expected role user or assistant, got system"), std::string::npos) << message;
  refuses(path, "{\"model\": \"other\", \"messages\": []}", 404, "model");
  for (const auto& [field, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("top_p": -0.1)", "top_p"},
           {R"("n": 100)", "n"},
           {R"("n": 1.5)", "n"},
           {R"("n": 1e300)", "n"},
           {R"("stop": 5)", "stop"},
           {R"("stop": ["a", "b", "c", "d", "e"])", "stop"},
           {R"("stream": "yes")", "stream"},
           {R"("seed": 1e40)", "seed"},
           {R"("logit_bias": {"x": 1})", "logit_bias"},
           {R"("logit_bias": {"5": 500})", "logit_bias.5"},
           {R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
           {R"("top_logprobs": 2)", "top_logprobs"},
           {R"("presence_penalty": 9)", "presence_penalty"},
           {R"("max_completion_tokens": 0)", "max_completion_tokens"},
           {R"("max_completion_tokens": -5)", "max_completion_tokens"},
           {R"("max_completion_tokens": 100000)", "messages"},
           {R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name"},
           {R"("reasoning_effort": "extreme")", "reasoning_effort"}})
    refuses(path, chat(field), 400, param);
  EXPECT_EQ(post(server.port(), path, chat(R"("unknown_field": {"deep": [1]}, "user": "u", "metadata": {})")).status,
            200);
  refuses("/v1/completions", "{}", 400, "prompt");
  refuses("/v1/completions", R"({"prompt": [500000]})", 400, "prompt");
  refuses("/v1/completions", R"({"prompt": []})", 400, "prompt");
  refuses("/v1/completions", R"({"prompt": [5], "max_tokens": 600})", 400, "prompt");
  refuses("/v1/responses", "{}", 400, "input");
  refuses("/v1/responses", R"({"input": "3", "previous_response_id": "resp_1"})", 400, "previous_response_id");
  const Json error = post(server.port(), "/v1/messages", R"({"messages": []})").json();
  EXPECT_EQ(error["type"], "error");
  EXPECT_EQ(error["error"]["type"], "invalid_request_error");
  refuses("/detokenize", R"({"tokens": [-1]})", 400, "tokens");
}

// A value of any kind, now and then a hostile one.
Json any_value(Rng& rng, int depth) {
  static const std::vector<Json> some = {nullptr,
                                         true,
                                         false,
                                         0,
                                         1,
                                         -1,
                                         3,
                                         1e18,
                                         -1e300,
                                         0.5,
                                         "",
                                         "3+5=?",
                                         "user",
                                         "assistant",
                                         "tiny",
                                         "\u0000",
                                         "€\n",
                                         std::string(3000, '3'),
                                         Json::array(),
                                         Json::object(),
                                         18446744073709551615u,
                                         "auto",
                                         "text",
                                         "function",
                                         "tool"};
  static const std::vector<std::string> names = {
      "messages",   "role",     "content",     "type",       "text",          "model",
      "tools",      "function", "name",        "parameters", "arguments",     "tool_calls",
      "id",         "stop",     "n",           "seed",       "input",         "prompt",
      "max_tokens", "stream",   "temperature", "logprobs",   "top_logprobs",  "tool_choice",
      "thinking",   "tokens",   "echo",        "system",     "content_block", "tool_call_id"};
  if (depth == 0 || rng.chance(0.5)) return some[rng.below(some.size())];
  Json y = rng.chance(0.5) ? Json::array() : Json::object();
  for (uint64_t i = rng.below(4); i > 0; i--) {
    if (y.is_array())
      y.push_back(any_value(rng, depth - 1));
    else
      y[names[rng.below(names.size())]] = any_value(rng, depth - 1);
  }
  return y;
}

// A good request with some of it replaced, or its text damaged.
std::string mutated(Json body, Rng& rng) {
  for (uint64_t i = rng.below(3) + 1; i > 0; i--) {
    Json* at = &body;
    while (at->is_structured() && !at->empty() && rng.chance(0.7)) {
      auto it = at->begin();
      std::advance(it, long(rng.below(at->size())));
      at = &*it;
    }
    *at = any_value(rng, 3);
  }
  std::string text = body.dump(-1, ' ', rng.chance(0.5), Json::error_handler_t::replace);
  if (rng.chance(0.1) && !text.empty()) text[rng.below(text.size())] = char(rng.below(256));
  if (rng.chance(0.05)) text.resize(rng.below(text.size() + 1));
  return text;
}

TEST(Api, TenThousandRequestsThatNobodyMeant) {
  const std::vector<std::pair<std::string, std::string>> routes = {
      {"/v1/chat/completions",
       R"({"model": "tiny", "messages": [{"role": "system", "content": "1"}, {"role": "user", "content": [{"type":
           "text", "text": "3+5=?"}]}, {"role": "assistant", "content": "8", "tool_calls": [{"id": "c", "type":
           "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c",
           "content": "2"}], "max_tokens": 2, "n": 2, "temperature": 0.5, "stop": ["9"], "logprobs": true,
           "top_logprobs": 2, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
           "stream_options": {"include_usage": true}, "stream": true, "seed": 3, "thinking": {"type": "enabled"}})"},
      {"/v1/completions", R"({"model": "tiny", "prompt": ["3+5", "4"], "max_tokens": 2, "echo": true, "logprobs": 1,
           "stop": "9", "seed": 4, "logit_bias": {"5": 2}})"},
      {"/v1/responses", R"({"model": "tiny", "input": [{"role": "user", "content": [{"type": "input_text", "text":
           "3+5=?"}]}], "max_output_tokens": 2, "instructions": "1", "stream": true})"},
      {"/v1/messages", R"({"model": "tiny", "max_tokens": 2, "system": "1", "messages": [{"role": "user", "content":
           [{"type": "text", "text": "3+5=?"}]}], "stream": true})"},
      {"/v1/messages/count_tokens", R"({"model": "tiny", "messages": [{"role": "user", "content": "3"}]})"},
      {"/tokenize", R"({"content": "3+5", "add_special": true})"},
      {"/detokenize", R"({"tokens": [5, 6]})"},
      {"/apply-template", R"({"messages": [{"role": "user", "content": "3+5"}]})"}};
  TestServer server;
  Rng rng(11);
  for (const auto& [path, good] : routes) {
    const Json body = Json::parse(good);
    const Reply sound = post(server.port(), path, good);
    // The small template knows no tools and no system: the first is refused by it, like the others that are in order.
    EXPECT_TRUE(sound.status == 200 || sound.status == 400) << path << sound.body;
    auto client = std::make_unique<Client>(server.port());
    std::map<int, int> seen;
    for (int i = 0; i < 10000; i++) {
      const std::string text = mutated(body, rng);
      if (!client->send(request_text("POST", path, text))) break;
      const Reply reply = client->reply();
      seen[reply.status]++;
      if (reply.status < 200 || reply.status >= 500) {
        ADD_FAILURE() << path << " answers " << reply.status << " to " << text << "\n" << reply.body;
        client = std::make_unique<Client>(server.port());
      }
    }
    EXPECT_GT(seen[400], 100) << path;
  }
  EXPECT_TRUE(server.idle());
}

// The vocabulary has digits and signs only: so have the grammars.
TEST(Api, AnswersKeepToGrammarsBehindTheThought) {
  TestServer server;
  const std::string grammar = R"("grammar": "root ::= [0-9] \"+\" [0-9] \"=\" [0-9]", "seed": )";
  for (int seed = 0; seed < 10; seed++) {
    const Json reply = post(server.port(), "/v1/completions",
                            R"({"prompt": [5], "max_tokens": 9, )" + grammar + std::to_string(seed) + "}")
                           .json();
    const std::string text = reply["choices"][0]["text"];
    ASSERT_EQ(text.size(), 5u) << reply;
    EXPECT_TRUE(std::isdigit(text[0]) && text[1] == '+' && std::isdigit(text[2]) && text[3] == '=') << text;
    EXPECT_EQ(reply["choices"][0]["finish_reason"], "stop");
    // The prompt opens a thought: it is free, as long as the budget says, and then the grammar holds.
    const Json chat = post(server.port(), "/v1/chat/completions",
                           R"({"messages": [{"role": "user", "content": "3+5=?"}], "max_tokens": 40,
                               "thinking": {"type": "enabled", "budget_tokens": 6}, )" +
                               grammar + std::to_string(seed) + "}")
                          .json();
    const Json message = chat["choices"][0]["message"];
    EXPECT_EQ(message["content"].get<std::string>().size(), 5u) << chat;
    EXPECT_LE(chat["usage"]["completion_tokens_details"]["reasoning_tokens"], 7);
  }
}

TEST(Api, MetricsCountAndReturnToZero) {
  TestServer server;
  post(server.port(), "/v1/completions", R"({"prompt": [5, 6], "max_tokens": 5, "ignore_eos": true})");
  ASSERT_TRUE(server.idle());
  std::string text;
  const auto alone = [&] {  // the connections of before close when their clients' ends are seen
    text = get(server.port(), "/metrics").body;
    return text.find("tenth_connections{model_name=\"tiny\"} 1\n") != text.npos;
  };
  EXPECT_TRUE(eventually(alone)) << text;
  const auto has = [&](const std::string& line) { return text.find(line + "\n") != text.npos; };
  EXPECT_TRUE(has("tenth_generation_tokens_total{model_name=\"tiny\"} 5")) << text;
  EXPECT_TRUE(has("vllm:generation_tokens_total{model_name=\"tiny\"} 5"));
  EXPECT_TRUE(has("tenth_num_requests_running{model_name=\"tiny\"} 0"));
  EXPECT_TRUE(has("tenth_kv_cache_blocks_used{model_name=\"tiny\"} 0"));
  EXPECT_TRUE(has("tenth_requests_open{model_name=\"tiny\"} 0"));
  EXPECT_TRUE(has("tenth_time_to_first_token_seconds_count{model_name=\"tiny\"} 1"));
  EXPECT_TRUE(has("tenth_request_success_total{model_name=\"tiny\",finished_reason=\"length\"} 1"));
  EXPECT_TRUE(has("http_requests_total{handler=\"/v1/completions\",method=\"POST\",status=\"200\"} 1"));
}

TEST(Api, MetricsCountGuesses) {
  const std::string body =
      R"({"prompt": [7, 7, 7], "max_tokens": 40, "temperature": 0, "ignore_eos": true, "logit_bias": {"7": 100}})";
  const std::string labels = "{model_name=\"tiny\"} ";
  const auto figures = [&](const EngineOptions& options) {
    TestServer server({}, options);
    const Json reply = post(server.port(), "/v1/completions", body).json();
    EXPECT_EQ(reply["usage"]["completion_tokens"], 40);
    EXPECT_TRUE(server.idle());
    const std::string text = get(server.port(), "/metrics").body;
    const auto value = [&](const std::string& name) {
      const size_t at = text.find("\n" + name + labels);
      return at == text.npos ? -1 : std::atoi(text.c_str() + at + 1 + name.size() + labels.size());
    };
    for (const char* name : {"drafts_total", "draft_tokens_total", "accepted_tokens_total"})
      EXPECT_EQ(value(fmt::format("vllm:spec_decode_num_{}", name)),
                value(fmt::format("tenth_spec_decode_num_{}", name)));
    return std::array<int, 3>{value("tenth_spec_decode_num_draft_tokens_total"),
                              value("vllm:spec_decode_num_accepted_tokens_total"), value("tenth_steps_total")};
  };
  const auto [drafts, accepted, steps] = figures({});
  EXPECT_EQ(accepted, drafts);
  EXPECT_EQ(steps + accepted, 40);
  EXPECT_GT(accepted, 20);
  EXPECT_EQ(figures({.lookup_drafts = 0}), (std::array<int, 3>{0, 0, 40}));
}

}  // namespace
}  // namespace tenth::testing
