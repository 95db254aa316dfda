// HTTP as hostile clients speak it, and those who stop in the middle.
#include "serve/server_util.h"

namespace tenth::testing {
namespace {

// What the server answers to these bytes.
Reply answer(uint16_t port, const std::string& bytes) {
  Client client(port);
  client.send(bytes);
  return client.reply();
}

TEST(Http, KeepsConnectionsAndPipelines) {
  TestServer server;
  Client client(server.port());
  client.send(request_text("GET", "/health") + request_text("GET", "/v1/models") + request_text("GET", "/nope"));
  EXPECT_EQ(client.reply().status, 200);
  EXPECT_EQ(client.reply().json()["data"][0]["id"], "tiny");
  EXPECT_EQ(client.reply().status, 404);
  client.send(request_text("GET", "/health", "", "Connection: close\r\n"));
  EXPECT_EQ(client.reply().status, 200);
  EXPECT_EQ(client.receive(), "");
}

// The page is there while the model is loaded, and says so; nothing else is.
TEST(Http, BeforeTheModelIsThere) {
  ApiServerOptions options;
  options.port = 0;
  options.keys = {"secret"};
  ApiServer server(options);
  const std::string key = "Authorization: Bearer secret\r\n";
  EXPECT_EQ(get(server.port(), "/").status, 200);
  EXPECT_NE(get(server.port(), "/").body.find("web/main.js"), std::string::npos);
  EXPECT_EQ(get(server.port(), "/web/main.js").status, 200);
  EXPECT_EQ(get(server.port(), "/web/../secret").status, 404);
  const Reply health = get(server.port(), "/health");
  EXPECT_EQ(health.status, 503);
  EXPECT_EQ(health.json()["status"], "loading");
  EXPECT_NE(health.head.find("Retry-After: 1"), std::string::npos) << health.head;
  EXPECT_EQ(get(server.port(), "/v1/models").status, 401);
  for (const char* path : {"/v1/models", "/metrics", "/nope"}) {
    const Reply reply = get(server.port(), path, key);
    EXPECT_EQ(reply.status, 503) << path;
    EXPECT_EQ(reply.json()["error"]["message"], "the model is being loaded");
    EXPECT_NE(reply.head.find("Retry-After: 1"), std::string::npos) << reply.head;
  }
  EXPECT_EQ(post(server.port(), "/v1/chat/completions", "{}", key).status, 503);
  EXPECT_EQ(post(server.port(), "/", "{}", key).status, 503);
}

TEST(Http, RefusesWhatIsNoRequest) {
  TestServer server;
  const uint16_t port = server.port();
  EXPECT_EQ(answer(port, "hello\r\n\r\n").status, 400);
  EXPECT_EQ(answer(port, std::string(100, '\0') + "\r\n\r\n").status, 400);
  EXPECT_EQ(answer(port, "GET / HTTP/9.9\r\n\r\n").status, 400);
  EXPECT_EQ(answer(port, "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20000, 'x') + "\r\n\r\n").status, 431);
  EXPECT_EQ(answer(port, "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").status, 414);
  const std::string head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
  EXPECT_EQ(answer(port, head + "Content-Length: 99999999999\r\n\r\n").status, 413);
  EXPECT_EQ(answer(port, head + "Content-Length: -1\r\n\r\n").status, 400);
  EXPECT_EQ(answer(port, head + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345").status, 400);
  EXPECT_EQ(answer(port, head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").status, 400);
  EXPECT_EQ(answer(port, head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n").status, 400);
  EXPECT_EQ(answer(port, head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n").status, 400);  // no prompt
  EXPECT_EQ(answer(port, request_text("PUT", "/v1/completions")).status, 405);
  EXPECT_EQ(answer(port, request_text("TRACE", "/")).status, 405);
  EXPECT_EQ(answer(port,
                   "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
                   "Content-Length: 2\r\n\r\n{}")
                .status,
            415);
  EXPECT_EQ(get(port, "/web/../secret").status, 404);
  EXPECT_EQ(get(port, "/health").status, 200);
}

TEST(Http, HostsKeysAndOrigins) {
  ApiServerOptions options;
  options.hosts = {"my.lan"};
  options.origins = {"https://good.example"};
  TestServer open(options);
  const auto with_host = [&](const std::string& host) {
    return answer(open.port(), "GET /v1/models HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status;
  };
  EXPECT_EQ(with_host("localhost:1234"), 200);
  EXPECT_EQ(with_host("[::1]:80"), 200);
  EXPECT_EQ(with_host("my.lan"), 200);
  EXPECT_EQ(with_host("evil.example"), 403);
  EXPECT_NE(get(open.port(), "/health", "Origin: https://good.example\r\n").head.find("Access-Control-Allow-Origin"),
            std::string::npos);
  EXPECT_EQ(get(open.port(), "/health", "Origin: https://evil.example\r\n").head.find("Access-Control"),
            std::string::npos);

  options.keys = {"first", "second"};
  TestServer locked(options);
  // All routes but those few.
  for (const char* path : {"/health", "/"}) EXPECT_EQ(get(locked.port(), path).status, 200) << path;
  for (const char* path : {"/v1/models", "/v1/models/tiny", "/metrics", "/version", "/nope"})
    EXPECT_EQ(get(locked.port(), path).status, 401) << path;
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages",
                           "/v1/messages/count_tokens", "/tokenize", "/detokenize", "/apply-template"})
    EXPECT_EQ(post(locked.port(), path, "{}").status, 401) << path;
  EXPECT_EQ(get(locked.port(), "/v1/models", "Authorization: Bearer second\r\n").status, 200);
  EXPECT_EQ(get(locked.port(), "/v1/models", "x-api-key: first\r\n").status, 200);
  EXPECT_EQ(get(locked.port(), "/v1/models", "Authorization: Bearer secon\r\n").status, 401);
  ApiServerOptions public_one;
  public_one.host = "0.0.0.0";
  public_one.port = 0;
  EXPECT_THROW(ApiServer{public_one}, Error);
}

TEST(Http, SlowOnesAreCutOff) {
  ApiServerOptions options;
  options.limits.header_seconds = 1;
  options.limits.body_seconds = 1;
  options.limits.idle_seconds = 1;
  TestServer server(options);
  Client idle(server.port()), header(server.port()), body(server.port());
  header.send("GET / HT");
  body.send("POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(get(server.port(), "/health").status, 200);  // nobody else waits for them
  EXPECT_EQ(header.reply().status, 408);
  EXPECT_EQ(body.reply().status, 408);
  EXPECT_EQ(idle.receive(), "");
}

std::string long_stream() { return R"({"prompt": [5, 6], "max_tokens": 400, "ignore_eos": true, "stream": true})"; }

TEST(Http, AClosedConnectionFreesItsPlace) {
  TestServer server;
  for (int i = 0; i < 40; i++) {
    Client client(server.port());
    client.send(request_text("POST", "/v1/completions", long_stream()));
    if (i % 4 > 0) {
      EXPECT_TRUE(client.read_until("data: "));
    }
  }
  EXPECT_TRUE(server.idle());
  EXPECT_EQ(post(server.port(), "/v1/completions", R"({"prompt": [5, 6], "max_tokens": 3})").status, 200);
}

TEST(Http, ARequestWhoseClientLeftIsNotRun) {
  TestServer server({}, {.max_sequences = 1});
  Client first(server.port());
  first.send(request_text("POST", "/v1/completions", long_stream()));
  EXPECT_TRUE(first.read_until("data: "));
  for (int i = 0; i < 20; i++) {
    Client waiting(server.port());
    waiting.send(request_text("POST", "/v1/completions", long_stream()));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  first.close();
  EXPECT_TRUE(server.idle());
  EXPECT_LT(server.service().engine().statistics().new_tokens, 3000);
}

TEST(Http, TheQueueIsBounded) {
  TestServer server({}, {.max_sequences = 1}, {.queued = 2});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 40; i++) {  // far more work than the time it takes to ask for it
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->send(request_text("POST", "/v1/completions",
                                      R"({"prompt": [5, 6], "max_tokens": 500, "ignore_eos": true, "n": 8})"));
  }
  EXPECT_EQ(get(server.port(), "/health").status, 200);
  int refused = 0;
  for (const auto& client : clients) {
    const Reply reply = client->reply();
    EXPECT_TRUE(reply.status == 200 || reply.status == 503) << reply.body;
    if (reply.status != 503) continue;
    refused++;
    EXPECT_NE(reply.head.find("Retry-After: "), std::string::npos);
  }
  EXPECT_GT(refused, 20);
  EXPECT_LT(refused, 40);
  EXPECT_TRUE(server.idle());
}

TEST(Http, EndsRunningStreamsInGoodOrder) {
  TestServer server;
  const uint16_t port = server.port();
  Client running(server.port());
  running.send(request_text("POST", "/v1/completions", long_stream()));
  EXPECT_TRUE(running.read_until("data: "));
  std::thread stopping([&] { server.stop(); });
  const Reply whole = running.reply();
  EXPECT_EQ(events_of(whole.body).back(), "[DONE]");
  stopping.join();
  EXPECT_FALSE(Client(port).connected());
}

TEST(Http, WhatDoesNotEndInTimeGetsAnError) {
  ApiServerOptions options;
  options.drain_seconds = 0;
  TestServer server(options, {.max_sequences = 1});
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 60; i++) {  // one at a time: seconds of work
    clients.push_back(std::make_unique<Client>(server.port()));
    clients.back()->send(request_text("POST", "/v1/completions", long_stream()));
    EXPECT_TRUE(clients.back()->read_until("200 OK"));
  }
  std::thread stopping([&] { server.stop(); });
  const std::vector<std::string> events = events_of(clients.back()->reply().body);
  ASSERT_FALSE(events.empty());
  EXPECT_NE(events.back().find("shutting down"), std::string::npos) << events.back();
  stopping.join();
}

// What it reads at last is a part of the stream, and not its end.
// A client may go in the moment in which its answer is sent.
TEST(Http, ClientsThatAreGoneLeaveNoConnection) {
  TestServer server;
  for (int i = 0; i < 500; i++) {
    Client client(server.port());
    client.send(request_text("GET", "/v1/models", ""));
    client.read_until("\r\n\r\n");
  }
  EXPECT_TRUE(eventually([&] { return server.service().connections() == 0; })) << server.service().connections();
}

TEST(Http, AClientThatDoesNotReadIsDropped) {
  ApiServerOptions options;
  options.limits.buffered_bytes = 20000;
  TestServer server(options);
  Client client(server.port(), 4096);
  client.send(request_text("POST", "/v1/completions",
                           R"({"prompt": [5, 6], "max_tokens": 500, "ignore_eos": true, "stream": true,
                               "logprobs": 20, "n": 8})"));
  while (server.service().engine().statistics().new_tokens == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(server.idle());
  EXPECT_FALSE(client.read_until("[DONE]"));
}

}  // namespace
}  // namespace tenth::testing
