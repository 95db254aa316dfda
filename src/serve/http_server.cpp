// Boost.Beast reads requests; answers are written by hand, for a stream's framing is a line of text.
#include "serve/http_server.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <optional>
#include <set>

#include "base/error.h"

namespace tenth {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using namespace asio::experimental::awaitable_operators;
using boost::system::error_code;
using std::chrono::seconds;
using Wait = asio::awaitable<void>;

constexpr size_t kPipelined = 64 << 10;  // bytes of further requests that are read while one is answered
constexpr size_t kWasted = 64 << 20;     // bytes of a refused request that are still read
constexpr int kHandlers = 2;             // threads that parse requests and turn them into tokens

const char* reason_of(int status) {
  // Beast's table is of a view into static text.
  return http::obsolete_reason(http::int_to_status(unsigned(status))).data();
}

std::string lower(std::string_view text) {
  std::string y(text);
  for (char& c : y) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  return y;
}

// What completes an operation in a coroutine, its error in `code` instead of thrown.
auto noting(error_code& code) { return asio::redirect_error(asio::use_awaitable, code); }

// The result of op, or nothing where it took longer (it is cancelled then).
template <class T>
asio::awaitable<std::optional<T>> within(int limit_seconds, asio::awaitable<T> op) {
  asio::steady_timer timer(co_await asio::this_coro::executor, seconds(limit_seconds));
  error_code ignored;
  auto first = co_await (std::move(op) || timer.async_wait(noting(ignored)));
  if (first.index() == 1) co_return std::nullopt;
  co_return std::get<0>(std::move(first));
}

bool clean(std::string_view text) { return text.find_first_of("\r\n") == text.npos; }

}  // namespace

struct HttpServer::Parts {
  class Connection;

  HttpLimits limits;
  Handler handler;
  asio::io_context network{1};
  asio::thread_pool workers{kHandlers};
  tcp::acceptor acceptor{network};
  std::set<Connection*> open;                                // this and all below: of the network's thread
  std::vector<std::unique_ptr<asio::steady_timer>> tickers;  // of every()
  std::atomic<int64_t> connections{0}, busy{0};
  bool draining = false;

  Wait accept();
  Wait tick(asio::steady_timer& timer, int milliseconds, std::function<void()> f);
};

// What the handler holds of an answer. Its state belongs to the network's thread.
class Exchange : public HttpExchange, public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(asio::io_context& network, bool chunked, bool keep_alive, bool head, size_t bound)
      : network_(network), changed_(network), chunked_(chunked), keep_alive_(keep_alive), head_(head), bound_(bound) {
    changed_.expires_at(asio::steady_timer::time_point::max());
  }

  void reply(int status, HttpHeaders headers, std::string body) override {
    asio::dispatch(network_,
                   [self = shared_from_this(), status, headers = std::move(headers), body = std::move(body)]() mutable {
                     if (self->begun_) return;
                     headers.emplace_back("Content-Length", std::to_string(body.size()));
                     self->put_head(status, headers);
                     if (!self->head_) self->pending_ += body;
                     self->ended_ = true;
                     self->changed_.cancel();
                   });
  }
  void begin(int status, HttpHeaders headers) override {
    asio::dispatch(network_, [self = shared_from_this(), status, headers = std::move(headers)]() mutable {
      if (self->begun_) return;
      if (self->chunked_)
        headers.emplace_back("Transfer-Encoding", "chunked");
      else
        self->keep_alive_ = false;  // the end of the connection is the end of the text
      self->streamed_ = true;
      self->put_head(status, headers);
      self->changed_.cancel();
    });
  }
  void write(std::string_view part) override {
    if (part.empty()) return;
    asio::dispatch(network_, [self = shared_from_this(), part = std::string(part)] {
      if (!self->streamed_ || self->ended_ || self->head_) return;
      if (self->chunked_) {
        self->pending_ += fmt::format("{:x}\r\n", part.size());
        self->pending_ += part;
        self->pending_ += "\r\n";
      } else {
        self->pending_ += part;
      }
      self->changed_.cancel();
    });
  }
  void end() override {
    asio::dispatch(network_, [self = shared_from_this()] {
      if (!self->streamed_ || self->ended_) return;
      if (self->chunked_ && !self->head_) self->pending_ += "0\r\n\r\n";
      self->ended_ = true;
      self->changed_.cancel();
    });
  }
  void on_gone(std::function<void()> call) override {
    asio::dispatch(network_, [self = shared_from_this(), call = std::move(call)]() mutable {
      if (self->gone_) return call();
      if (!self->finished_) self->gone_call_ = std::move(call);
    });
  }

  // --- the network's side
  bool keep_alive() const { return keep_alive_ && !gone_; }
  void close_after() { keep_alive_ = false; }

  // Writes what there is until the answer has ended. False: the client takes no more.
  asio::awaitable<bool> send(tcp::socket& socket, int stall_seconds) {
    std::string out;
    for (;;) {
      if (pending_.empty()) {
        if (ended_) co_return true;
        error_code ignored;
        co_await changed_.async_wait(noting(ignored));
        continue;
      }
      out.clear();
      out.swap(pending_);
      for (size_t sent = 0; sent < out.size();) {  // in parts: each of them has the whole time
        error_code failed;
        const auto part = co_await within(
            stall_seconds, socket.async_write_some(asio::buffer(out.data() + sent, out.size() - sent), noting(failed)));
        if (!part || failed || (streamed_ && pending_.size() > bound_)) co_return false;
        sent += *part;
      }
    }
  }

  void finish(bool gone) {
    finished_ = true;
    gone_ = gone;
    const auto call = std::exchange(gone_call_, {});
    if (gone && call) call();
  }

 private:
  void put_head(int status, const HttpHeaders& headers) {
    begun_ = true;
    pending_ = fmt::format("HTTP/1.1 {} {}\r\n", status, reason_of(status));
    for (const auto& [name, value] : headers)
      if (clean(name) && clean(value)) pending_ += fmt::format("{}: {}\r\n", name, value);
    pending_ += keep_alive_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  }

  asio::io_context& network_;
  asio::steady_timer changed_;  // never expires; cancelled when there is something to do
  const bool chunked_;
  bool keep_alive_;
  const bool head_;
  const size_t bound_;
  bool begun_ = false, streamed_ = false, ended_ = false, finished_ = false, gone_ = false;
  std::string pending_;
  std::function<void()> gone_call_;
};

class HttpServer::Parts::Connection {
 public:
  Connection(Parts& parts, tcp::socket socket) : parts_(parts), socket_(std::move(socket)) {
    parts_.open.insert(this);
    parts_.connections++;
  }
  ~Connection() {
    parts_.open.erase(this);
    parts_.connections--;
  }

  // One request after another.
  Wait serve() {
    error_code ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const auto peer = socket_.remote_endpoint(ignored);
    client_ = ignored ? "?" : peer.address().to_string();
    while (co_await next_request()) {
      busy_ = true;
      parts_.busy++;
      const bool again = co_await answer();
      parts_.busy--;
      busy_ = false;
      if (!again || ended_ || parts_.draining) break;  // an end is told once: the next read would wait for it in vain
    }
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
  }

  // An idle one ends now, a busy one behind its answer.
  void drain() {
    error_code ignored;
    if (!busy_) socket_.cancel(ignored);
    if (exchange_) exchange_->close_after();
  }
  void cut() {
    error_code ignored;
    socket_.close(ignored);
  }

 private:
  using Parser = http::request_parser<http::string_body>;

  asio::awaitable<bool> next_request() {
    const HttpLimits& limits = parts_.limits;
    error_code failed;
    if (buffer_.size() == 0) {
      const auto size =
          co_await within(limits.idle_seconds, socket_.async_read_some(buffer_.prepare(4096), noting(failed)));
      if (!size || failed) co_return false;
      buffer_.commit(*size);
    }
    Parser parser;
    parser.header_limit(uint32_t(limits.header_bytes));
    parser.body_limit(limits.body_bytes);
    if (!co_await within(limits.header_seconds, http::async_read_header(socket_, buffer_, parser, noting(failed))))
      co_return co_await refuse(408, "the headers did not come in time");
    if (failed) co_return co_await refuse(failed);
    const auto& head = parser.get();
    if (head.target().size() > limits.target_bytes) co_return co_await refuse(414, "the address is too long");
    if (const auto expect = head[http::field::expect]; lower({expect.data(), expect.size()}) == "100-continue") {
      static constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
      co_await asio::async_write(socket_, asio::buffer(kGoOn), noting(failed));
      if (failed) co_return false;
    }
    if (!co_await within(limits.body_seconds, http::async_read(socket_, buffer_, parser, noting(failed))))
      co_return co_await refuse(408, "the body did not come in time");
    if (failed) co_return co_await refuse(failed);
    take(parser.release());
    co_return true;
  }

  void take(http::request<http::string_body>&& from) {
    request_ = ClientRequest();
    request_.method = std::string(from.method_string().data(), from.method_string().size());
    const std::string target(from.target().data(), from.target().size());
    const size_t mark = target.find('?');
    request_.path = target.substr(0, mark);
    if (mark != target.npos) request_.query = target.substr(mark + 1);
    for (const auto& field : from) {
      const std::string name = lower(std::string_view(field.name_string().data(), field.name_string().size()));
      request_.headers.emplace(name, std::string(field.value().data(), field.value().size()));
    }
    request_.body = std::move(from.body());
    request_.client = client_;
    keep_alive_ = from.keep_alive() && !parts_.draining;
    chunked_ = from.version() >= 11;
  }

  // Hands the request to a handler's thread and sends what comes back. True: the connection may go on.
  asio::awaitable<bool> answer() {
    const auto exchange = std::make_shared<Exchange>(parts_.network, chunked_, keep_alive_, request_.method == "HEAD",
                                                     parts_.limits.buffered_bytes);
    exchange_ = exchange;
    asio::post(parts_.workers,
               [&parts = parts_, exchange, request = std::move(request_)] { parts.handler(request, exchange); });
    bool sent = false;
    co_await (send(*exchange, sent) || watch());
    exchange->finish(!sent);
    exchange_ = nullptr;
    co_return sent && exchange->keep_alive();
  }

  Wait send(Exchange& exchange, bool& sent) { sent = co_await exchange.send(socket_, parts_.limits.stall_seconds); }

  // Ends when the client does.
  Wait watch() {
    for (;;) {
      error_code failed;
      if (buffer_.size() >= kPipelined) {  // it may wait; whether it is gone is seen when writing to it
        asio::steady_timer forever(parts_.network, asio::steady_timer::time_point::max());
        co_await forever.async_wait(noting(failed));
        co_return;
      }
      const size_t size = co_await socket_.async_read_some(buffer_.prepare(4096), noting(failed));
      buffer_.commit(size);
      if (!failed) continue;
      ended_ = failed != asio::error::operation_aborted;  // that one: the answer is sent
      co_return;
    }
  }

  // The last words to a client whose request could not be read. Always false.
  asio::awaitable<bool> refuse(error_code failed) {
    if (failed == http::error::header_limit) co_return co_await refuse(431, "the headers are too long");
    if (failed == http::error::body_limit)
      co_return co_await refuse(413, fmt::format("the body is longer than {} bytes", parts_.limits.body_bytes));
    if (failed.category() == make_error_code(http::error::bad_method).category() &&
        failed != http::error::end_of_stream && failed != http::error::partial_message)
      co_return co_await refuse(400, "no HTTP request: " + failed.message());
    co_return false;
  }
  asio::awaitable<bool> refuse(int status, const std::string& why) {
    const std::string body =
        fmt::format(R"({{"error":{{"message":"{}","type":"invalid_request_error","param":null,"code":null}}}})", why);
    const std::string text = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", status,
        reason_of(status), body.size(), body);
    error_code failed;
    co_await within(5, asio::async_write(socket_, asio::buffer(text), noting(failed)));
    // What the client is still sending is read and dropped for a moment: a reset would take the answer from it.
    socket_.shutdown(tcp::socket::shutdown_send, failed);
    std::array<char, 16 << 10> waste;
    for (size_t dropped = 0; !failed && dropped < kWasted;) {
      const auto size = co_await within(2, socket_.async_read_some(asio::buffer(waste), noting(failed)));
      if (!size) break;
      dropped += *size;
    }
    co_return false;
  }

  Parts& parts_;
  tcp::socket socket_;
  beast::flat_buffer buffer_;
  std::string client_;
  ClientRequest request_;
  bool keep_alive_ = false, chunked_ = false, busy_ = false, ended_ = false;
  std::shared_ptr<Exchange> exchange_;
};

Wait HttpServer::Parts::accept() {
  for (;;) {
    error_code failed;
    tcp::socket socket = co_await acceptor.async_accept(noting(failed));
    if (failed == asio::error::operation_aborted || !acceptor.is_open()) co_return;
    if (failed) {  // out of descriptors, most likely: some will be given back
      asio::steady_timer pause(network, std::chrono::milliseconds(50));
      co_await pause.async_wait(noting(failed));
      continue;
    }
    if (connections >= limits.connections) continue;  // closes it
    asio::co_spawn(
        network,
        [](Parts& parts, tcp::socket client) -> Wait {
          Connection connection(parts, std::move(client));
          co_await connection.serve();
        }(*this, std::move(socket)),
        asio::detached);
  }
}

Wait HttpServer::Parts::tick(asio::steady_timer& timer, int milliseconds, std::function<void()> f) {
  for (;;) {
    timer.expires_after(std::chrono::milliseconds(milliseconds));
    error_code failed;
    co_await timer.async_wait(noting(failed));
    if (failed) co_return;
    f();
  }
}

const std::string& ClientRequest::header(const std::string& name) const {
  static const std::string nothing;
  const auto it = headers.find(name);
  return it == headers.end() ? nothing : it->second;
}

HttpServer::HttpServer(const std::string& address, uint16_t port, const HttpLimits& limits, Handler handler)
    : parts_(std::make_unique<Parts>()) {
  parts_->limits = limits;
  parts_->handler = std::move(handler);
  error_code failed;
  const auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failed);
  require(!failed, ErrorKind::kInput, "--host: expected an IP address (127.0.0.1, 0.0.0.0, ::1), got {}", address);
  const tcp::endpoint endpoint(ip, port);
  parts_->acceptor.open(endpoint.protocol(), failed);
  if (!failed) parts_->acceptor.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) parts_->acceptor.bind(endpoint, failed);
  if (!failed) parts_->acceptor.listen(asio::socket_base::max_listen_connections, failed);
  require(!failed, ErrorKind::kIo, "{}:{}: cannot listen: {}; another --port?", address, port, failed.message());
}

HttpServer::~HttpServer() { wait_for_handlers(); }

void HttpServer::wait_for_handlers() { parts_->workers.join(); }

uint16_t HttpServer::port() const { return parts_->acceptor.local_endpoint().port(); }

void HttpServer::run() {
  asio::co_spawn(parts_->network, parts_->accept(), asio::detached);
  parts_->network.run();
}

void HttpServer::post(std::function<void()> f) { asio::post(parts_->network, std::move(f)); }

void HttpServer::every(int milliseconds, std::function<void()> f) {
  auto& timer = *parts_->tickers.emplace_back(std::make_unique<asio::steady_timer>(parts_->network));
  asio::co_spawn(parts_->network, parts_->tick(timer, milliseconds, std::move(f)), asio::detached);
}

void HttpServer::drain() {
  post([&parts = *parts_] {
    error_code ignored;
    parts.draining = true;
    parts.acceptor.close(ignored);
    for (Parts::Connection* connection : parts.open) connection->drain();
  });
}

// run() returns when nothing is left to wait for.
void HttpServer::stop() {
  post([&parts = *parts_] {
    error_code ignored;
    parts.draining = true;
    parts.acceptor.close(ignored);
    for (const auto& timer : parts.tickers) timer->cancel();
    for (Parts::Connection* connection : parts.open) connection->cut();
  });
}

int64_t HttpServer::connections() const { return parts_->connections; }
int64_t HttpServer::busy() const { return parts_->busy; }

}  // namespace tenth
