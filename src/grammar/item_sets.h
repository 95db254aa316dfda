// Where a grammar stands after some bytes: a set of items, each a state of the network with what lies on its stack of
// calls. Sets are interned (a set is a small number) and so are stacks: a call's frame is the set of items to go on
// with once the rule has ended, so that alternatives which call the same rule share all that it does (a
// graph-structured stack). For each set the steps by byte are kept once found: reading a byte is then one look-up.
#pragma once
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "grammar/network.h"

namespace tenth {

struct Item {
  uint32_t state;
  uint32_t partial;  // of a character that is being read (char_reader.h)
  uint32_t value;    // of the rule: repetitions so far, or the number of the set of members seen
  uint32_t frame;    // the set behind this rule
  auto operator<=>(const Item&) const = default;
};

class ItemSets {
 public:
  static constexpr uint32_t kDead = UINT32_MAX;  // the set of no items: the text is refused

  explicit ItemSets(std::shared_ptr<const Network> network);

  uint32_t start() const { return start_; }
  bool complete(uint32_t set) const;  // the text may end here
  uint32_t step(uint32_t set, uint8_t byte) {
    const uint32_t* row = rows_[set].get();
    const uint32_t next = row ? row[byte] : kUnknown;
    return next != kUnknown ? next : find_step(set, byte);
  }
  uint32_t step(uint32_t set, std::string_view bytes) {
    for (size_t i = 0; i < bytes.size() && set != kDead; i++) set = step(set, uint8_t(bytes[i]));
    return set;
  }
  std::span<const Item> items(uint32_t set) const {
    return {items_.data() + sets_[set].begin, items_.data() + sets_[set].end};
  }
  // The set of items alone, with all that they may go on with at once; kDead of none.
  uint32_t closed(std::span<const Item> seeds);
  const Network& network() const { return *network_; }

  // Bounds. Each call of a user gets a new budget of work; more throws kInput (the grammar is too ambiguous).
  void new_budget();
  bool full() const;  // time for a new one: take over the sets in use (import)
  uint32_t import(const ItemSets& other, uint32_t set);

  size_t bytes() const;

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX - 1;
  struct Set {
    uint32_t begin, end;
    uint32_t depth;  // of calls
  };
  // The members that an object has, by number (all that are not declared count as one number); count: of all, where the
  // plan bounds it.
  struct Members {
    std::vector<uint64_t> bits;
    uint32_t count = 0;
    auto operator<=>(const Members&) const = default;
  };
  // What may come behind the members seen.
  struct Outlook {
    uint32_t first = 0;    // ordered: the least declared member that is not passed
    uint32_t need;         // the least required one that is missing; declared where there is none
    uint32_t missing = 0;  // required ones
    uint32_t count;        // members so far
  };

  uint32_t find_step(uint32_t set, uint8_t byte);
  void make_row(uint32_t set);
  uint32_t intern(std::vector<Item>& items);
  uint32_t intern(Members members);
  void count(size_t work);

  // What follows without a byte; see the .cpp.
  uint32_t close();
  void add(const Item& item);
  void expand(const Item& item);
  void expand_object(const Item& item, const Network::State& state);
  void end_rule(const Item& item);
  void call(uint32_t rule, const Item& back);
  bool fits(uint32_t frame, uint32_t state) const;
  Outlook outlook(const ObjectPlan& plan, const Members& seen) const;
  bool may_come(const ObjectPlan& plan, const Members& seen, const Outlook& outlook, uint32_t member,
                uint32_t frame) const;
  uint32_t with_member(const ObjectPlan& plan, uint32_t seen, uint32_t member);
  uint32_t import(const ItemSets& other, uint32_t set, std::vector<uint32_t>& done);

  std::shared_ptr<const Network> network_;
  std::vector<Item> items_;
  std::vector<Set> sets_;
  std::vector<std::unique_ptr<uint32_t[]>> rows_;
  std::vector<uint32_t> table_;  // of sets, by hash; 0 = none, else set + 1
  std::map<Members, uint32_t> member_ids_;
  std::vector<const Members*> members_;  // keys of member_ids_
  size_t rows_made_ = 0, members_bytes_ = 0, work_ = 0;
  uint32_t start_ = kDead;

  // Of the closure in progress.
  std::vector<Item> found_;
  std::vector<uint32_t> found_table_;
  std::vector<uint32_t> found_slots_;
  struct Bucket {
    uint32_t rule = 0;
    std::vector<Item> back;
  };
  std::map<uint32_t, Bucket> buckets_;  // by rank of the rule that is called
  bool may_end_ = true;
};

}  // namespace tenth
