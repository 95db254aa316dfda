#include "base/ordered_json.h"

#include <map>
#include <vector>

#include "base/error.h"

namespace tenth {
namespace {

constexpr int kMaxDepth = 128;

// Builds an ordered value. The library's own way looks through all keys of an object for each new one.
class OrderedReader : public nlohmann::json_sax<OrderedJson> {
 public:
  OrderedReader(OrderedJson& root, const std::string& where, TwiceKey twice)
      : root_(root), where_(where), twice_(twice) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(OrderedJson::object()); }
  bool start_array(std::size_t) override { return open(OrderedJson::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    auto& keys = open_.back().keys;
    const auto [known, fresh] = keys.try_emplace(value, keys.size());
    require(fresh || twice_ == TwiceKey::kLast, ErrorKind::kInput, "{}: key \"{}\" stands twice in one object", where_,
            value);
    place_ = known->second;
    key_ = std::move(value);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    std::string_view reason = e.what();
    if (size_t bracket = reason.find("] "); bracket != reason.npos) reason.remove_prefix(bracket + 2);
    fail(ErrorKind::kInput, "{}: not valid JSON: {}", where_, reason);
  }

 private:
  struct Open {
    OrderedJson* value;
    std::map<std::string, size_t> keys;  // and their places
  };

  // The members of an object stand in a vector, so the address of the last one holds until the next is put.
  OrderedJson* add(OrderedJson value) {
    if (open_.empty()) return &(root_ = std::move(value));
    OrderedJson& in = *open_.back().value;
    if (in.is_array()) return &in.get_ref<OrderedJson::array_t&>().emplace_back(std::move(value));
    auto& members = in.get_ref<OrderedJson::object_t&>();
    if (place_ < members.size()) {
      OrderedJson& earlier = (members.begin() + std::ptrdiff_t(place_))->second;
      return &(earlier = std::move(value));
    }
    static_cast<OrderedJson::object_t::Container&>(members).emplace_back(std::move(key_), std::move(value));
    return &members.back().second;
  }
  bool put(OrderedJson value) {
    add(std::move(value));
    return true;
  }
  bool open(OrderedJson empty) {
    require(open_.size() < kMaxDepth, ErrorKind::kInput, "{}: expected nesting of at most {} levels", where_,
            kMaxDepth);
    open_.push_back({add(std::move(empty)), {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  OrderedJson& root_;
  const std::string& where_;
  const TwiceKey twice_;
  std::vector<Open> open_;
  std::string key_;   // of the member that comes
  size_t place_ = 0;  // among its object's
};

}  // namespace

OrderedJson parse_ordered_json(std::string_view text, const std::string& where, TwiceKey twice) {
  // The parser takes a NUL for the end of its input and would leave what follows unread.
  const size_t nul = text.find('\0');
  require(nul == text.npos, ErrorKind::kInput, "{}: not valid JSON: a NUL byte at {}", where, nul);
  OrderedJson root;
  OrderedReader reader(root, where, twice);
  OrderedJson::sax_parse(text.begin(), text.end(), &reader);
  return root;
}

}  // namespace tenth
