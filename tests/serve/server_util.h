// A server of a tiny model in this process, and a client that sends what it is told to, byte for byte.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "base/json.h"
#include "nn/tiny_models.h"
#include "serve/api_server.h"
#include "tokenizer/chat_format.h"
#include "tokenizer/small_vocab.h"

namespace tenth::testing {

inline std::unique_ptr<Transformer> served_model() {
  ModelConfig config = tiny_config("mla");
  config.vocab_size = 128;
  auto model = std::make_unique<Transformer>(config, get_backend("cpu"), DType::kF32);
  initialize(*model, 3, 1);
  return model;
}

// Asks again and again; false after ten seconds.
template <class Holds>
bool eventually(const Holds& holds) {
  for (int i = 0; i < 1000; i++) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

class TestServer {
 public:
  explicit TestServer(ApiServerOptions options = {}, EngineOptions engine = {}, ServiceLimits limits = {})
      : model_(served_model()) {
    const Tokenizer tokenizer = arithmetic_vocab(512).tokenizer();
    options.port = 0;
    ServedModel served{.name = "tiny",
                       .model = *model_,
                       .tokenizer = tokenizer,
                       .chat = std::make_shared<const ChatRenderer>(ChatRenderer::of(tokenizer, "", "/models/tiny")),
                       .tools = ToolFormat::kHermes,
                       .stop_ids = {*tokenizer.id_of(kEosToken)},
                       .thinking = {.begin = *tokenizer.id_of("<think>"), .end = *tokenizer.id_of("</think>")}};
    server_ = std::make_unique<ApiServer>(options);
    service_ = std::make_unique<Service>(std::move(served), engine, limits);
    thread_ = std::thread([this] { server_->serve(*service_); });
    eventually([this] { return service_->attached(); });
  }
  ~TestServer() { stop(); }

  // As SIGTERM does. Returns when all has ended.
  void stop() {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }
  ApiServer& server() { return *server_; }
  Service& service() { return *service_; }
  uint16_t port() const { return server_->port(); }

  // Waits until no request is left; false after ten seconds.
  bool idle() const {
    return eventually([&] {
      const EngineStatistics s = service_->engine().statistics();
      return service_->open() == 0 && s.running == 0 && s.waiting == 0 && s.blocks_in_use == 0;
    });
  }

 private:
  std::unique_ptr<Transformer> model_;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<Service> service_;
  std::thread thread_;
};

struct Reply {
  int status = 0;  // 0: the connection was closed without an answer
  std::string head, body;
  Json json() const { return Json::parse(body, nullptr, false); }
};

class Client {
 public:
  // receive_bytes: of the buffer of what was not read yet; 0: as the system has it.
  explicit Client(uint16_t port, int receive_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    if (receive_bytes > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{20, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) close();
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(size_t(n));
    }
    return true;
  }
  // Some bytes; "" at the end or after 20 seconds.
  std::string receive() {
    std::string buffer(64 << 10, '\0');
    const ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    buffer.resize(n > 0 ? size_t(n) : 0);
    return buffer;
  }
  bool read_until(const std::string& mark) {
    while (text_.find(mark) == std::string::npos) {
      const std::string more = receive();
      if (more.empty()) return false;
      text_ += more;
    }
    return true;
  }
  // One answer, with a length or in chunks.
  Reply reply() {
    Reply y;
    if (!read_until("\r\n\r\n")) return y;
    const size_t end = text_.find("\r\n\r\n") + 4;
    y.head = text_.substr(0, end);
    text_.erase(0, end);
    y.status = std::atoi(y.head.c_str() + 9);
    if (y.head.find("chunked") != std::string::npos) {
      if (!read_until("0\r\n\r\n")) return y;
      for (;;) {
        const size_t line = text_.find("\r\n");
        const size_t size = std::stoul(text_.substr(0, line), nullptr, 16);
        y.body += text_.substr(line + 2, size);
        text_.erase(0, line + 2 + size + 2);
        if (size == 0) return y;
      }
    }
    const size_t at = y.head.find("Content-Length: ");
    const size_t length = at == std::string::npos ? 0 : std::stoul(y.head.substr(at + 16));
    while (text_.size() < length) {
      const std::string more = receive();
      if (more.empty()) break;
      text_ += more;
    }
    y.body = text_.substr(0, length);
    text_.erase(0, length);
    return y;
  }

 private:
  int fd_ = -1;
  std::string text_;
};

inline std::string request_text(const std::string& method, const std::string& path, const std::string& body = "",
                                const std::string& headers = "") {
  std::string text = method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers;
  if (method == "POST")
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + body;
}

inline Reply get(uint16_t port, const std::string& path, const std::string& headers = "") {
  Client client(port);
  client.send(request_text("GET", path, "", headers));
  return client.reply();
}
inline Reply post(uint16_t port, const std::string& path, const std::string& body, const std::string& headers = "") {
  Client client(port);
  client.send(request_text("POST", path, body, headers));
  return client.reply();
}

// The data lines of a stream.
inline std::vector<std::string> events_of(const std::string& body) {
  std::vector<std::string> y;
  for (size_t at = 0; (at = body.find("data: ", at)) != body.npos;) {
    const size_t end = body.find("\n\n", at);
    y.push_back(body.substr(at + 6, end - at - 6));
    at = end;
  }
  return y;
}

}  // namespace tenth::testing
