// libFuzzer: bytes as a file of text, of documents and of packed documents. Without skip_bad a file is refused or read;
// with it, it is read: what is handed out is UTF-8, not empty, no copy, and counted.
#include <set>

#include "base/utf8.h"
#include "data/documents.h"
#include "fuzz.h"

namespace tenth {
namespace {

void read(const Path& file, bool skip_bad) {
  DocumentReader reader({file}, skip_bad);
  std::set<std::string> seen;
  int64_t bytes = 0;
  for (std::string text; reader.next(text);) {
    fuzz::must(!text.empty() && well_formed_prefix(text) == text.size() && seen.insert(text).second);
    bytes += int64_t(text.size());
  }
  fuzz::must(reader.counts().documents == int64_t(seen.size()) && reader.counts().text_bytes == bytes);
  fuzz::must((reader.counts().bad > 0) == !reader.counts().first_bad.empty() && (skip_bad || !reader.counts().bad));
}

}  // namespace
}  // namespace tenth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tenth;
  static fuzz::MemoryFolder folder;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (const char* name : {"a.txt", "a.jsonl", "a.jsonl.zst"}) {
    const Path file = folder.put(name, bytes);
    read(file, true);
    try {
      read(file, false);
    } catch (const Error& error) {
      fuzz::must_blame_input(error);
    }
  }
  return 0;
}
