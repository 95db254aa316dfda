#include "hub/digest.h"

#include <openssl/evp.h>

#include "base/error.h"

namespace tenth {

struct FileDigest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

FileDigest::FileDigest(const std::string& expected, int64_t size) : state_(std::make_unique<State>()) {
  const bool large = expected.size() == 64;
  const EVP_MD* kind = large ? EVP_sha256() : EVP_sha1();
  require(state_->context && EVP_DigestInit_ex(state_->context, kind, nullptr) == 1, ErrorKind::kInternal,
          "OpenSSL does not give {}", large ? "SHA-256" : "SHA-1");
  if (large) return;
  const std::string head = fmt::format("blob {}", size) + '\0';
  add(std::as_bytes(std::span(head)));
}

FileDigest::~FileDigest() = default;

void FileDigest::add(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, ErrorKind::kInternal,
          "OpenSSL does not take bytes");
}

std::string FileDigest::hex() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  require(EVP_DigestFinal_ex(state_->context, bytes, &size) == 1, ErrorKind::kInternal, "OpenSSL gives no digest");
  std::string text;
  for (unsigned i = 0; i < size; i++) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

}  // namespace tenth
