// Runs the real binary: arguments and input in, exit code and output back. Nothing may hang: it is killed after a
// while.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

namespace tenth::testing {

struct Result {
  int code = -1;   // exit code; -1: ended by a signal
  int signal = 0;  // that ended it
  bool hung = false;
  std::string out, err;
};

struct ProcessOptions {
  std::string input = {};
  rlim_t file_limit = RLIM_INFINITY;  // bytes of a file that it may write
  double seconds = 60;
  bool terminal = false;  // its output is one
};

class Process {
 public:
  explicit Process(std::vector<std::string> arguments, const ProcessOptions& options = {}) : options_(options) {
    arguments.insert(arguments.begin(), TENTH_BINARY);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    int in[2], out[2], err[2];
    if (::pipe2(in, O_CLOEXEC) || ::pipe2(err, O_CLOEXEC)) std::abort();
    if (options.terminal ? ::openpty(&out[0], &out[1], nullptr, nullptr, nullptr) : ::pipe2(out, O_CLOEXEC))
      std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::dup2(err[1], 2);
      const rlimit limit{options_.file_limit, options_.file_limit};
      if (options_.file_limit != RLIM_INFINITY) ::setrlimit(RLIMIT_FSIZE, &limit);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    ::close(err[1]);
    in_ = in[1];
    out_ = out[0];
    err_ = err[0];
    ::fcntl(in_, F_SETFL, O_NONBLOCK);
  }

  void send(int signal) const { ::kill(pid_, signal); }

  // Feeds the input, takes the output, waits for the end.
  Result wait() {
    ::signal(SIGPIPE, SIG_IGN);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.seconds);
    Result result;
    size_t fed = 0;
    while (out_ >= 0 || err_ >= 0) {
      if (in_ >= 0 && fed == options_.input.size()) close(in_);
      pollfd files[3] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {in_, POLLOUT, 0}};
      ::poll(files, 3, 100);
      if (files[0].revents) take(out_, result.out);
      if (files[1].revents) take(err_, result.err);
      if (files[2].revents) {
        const ssize_t n = ::write(in_, options_.input.data() + fed, options_.input.size() - fed);
        if (n > 0) fed += size_t(n);
        if (n < 0 && errno != EAGAIN) close(in_);
      }
      if (std::chrono::steady_clock::now() > end && !result.hung) {
        result.hung = true;
        send(SIGKILL);
      }
    }
    if (in_ >= 0) close(in_);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    return result;
  }

 private:
  static void close(int& file) {
    ::close(file);
    file = -1;
  }
  static void take(int& file, std::string& text) {
    char buffer[65536];
    const ssize_t n = ::read(file, buffer, sizeof buffer);
    if (n > 0) text.append(buffer, size_t(n));
    if (n <= 0) close(file);
  }

  ProcessOptions options_;
  pid_t pid_ = -1;
  int in_ = -1, out_ = -1, err_ = -1;
};

inline Result tenth(const std::vector<std::string>& arguments, const ProcessOptions& options = {}) {
  return Process(arguments, options).wait();
}

inline bool one_line(const std::string& text) {
  return text.size() > 1 && text.back() == '\n' && text.find('\n') == text.size() - 1;
}

// It said so in one line, printed nothing else, and ended by itself with that code.
inline void expect_refused(const Result& result, const std::string& text, int code = 1) {
  EXPECT_FALSE(result.hung);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.code, code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(one_line(result.err)) << result.err;
  EXPECT_TRUE(result.err.starts_with("tenth: ")) << result.err;
  EXPECT_NE(result.err.find(text), std::string::npos) << "expected \"" << text << "\" in: " << result.err;
  for (const char c : result.err) EXPECT_TRUE(uint8_t(c) >= 0x20 || c == '\n') << "control character in the error";
}

inline std::string expect_success(const Result& result) {
  EXPECT_FALSE(result.hung);
  EXPECT_EQ(result.signal, 0);
  EXPECT_EQ(result.code, 0) << result.err;
  return result.out;
}

}  // namespace tenth::testing
