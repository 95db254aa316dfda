#include "grammar/item_sets.h"

#include <algorithm>

#include "base/error.h"

namespace tenth {
namespace {

constexpr size_t kMaxWork = 6'000'000;      // items looked at for one token or mask
constexpr size_t kRowWork = 64;             // what a new row of steps counts
constexpr size_t kMaxItems = 4'000'000;     // 64 MB
constexpr size_t kMaxRows = 30'000;         // 30 MB; then they are found anew
constexpr size_t kMaxMembers = 32'000'000;  // bytes

uint64_t mix(uint64_t h, uint64_t value) {
  h = (h ^ value) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}
uint64_t hash_of(const Item& item) {
  return mix(mix(0x1234567, uint64_t(item.state) << 32 | item.partial), uint64_t(item.value) << 32 | item.frame);
}

}  // namespace

ItemSets::ItemSets(std::shared_ptr<const Network> network) : network_(std::move(network)), table_(1024, 0) {
  found_table_.assign(256, 0);
  intern(Members{});
  // The set below all others: the end of the text, as a state of its own.
  std::vector<Item> bottom = {{uint32_t(network_->states.size() - 1), 0, 0, 0}};
  const uint32_t end = intern(bottom);
  call(network_->root, items(end)[0]);
  if (network_->rules[network_->root].nullable) add(items(end)[0]);
  start_ = close();
}

bool ItemSets::complete(uint32_t set) const {
  return set != kDead && items_[sets_[set].end - 1].state == network_->states.size() - 1;
}

void ItemSets::count(size_t work) {
  work_ += work;
  if (work_ <= kMaxWork) [[likely]]
    return;
  found_.clear();  // what was being found is given up
  buckets_.clear();
  for (uint32_t slot : found_slots_) found_table_[slot] = 0;
  found_slots_.clear();
  fail(ErrorKind::kInput, "grammar: a token needs more than {} steps: the grammar is too ambiguous, make it simpler",
       kMaxWork);
}

uint32_t ItemSets::intern(std::vector<Item>& items) {
  std::sort(items.begin(), items.end());
  items.erase(std::unique(items.begin(), items.end()), items.end());
  count(items.size());
  uint64_t hash = items.size();
  for (const Item& item : items) hash = mix(hash, hash_of(item));
  if (2 * sets_.size() >= table_.size()) {
    table_.assign(table_.size() * 4, 0);
    for (uint32_t id = 0; id < sets_.size(); id++) {
      uint64_t h = sets_[id].end - sets_[id].begin;
      for (const Item& item : this->items(id)) h = mix(h, hash_of(item));
      size_t at = h & (table_.size() - 1);
      while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
      table_[at] = id + 1;
    }
  }
  size_t at = hash & (table_.size() - 1);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    const std::span<const Item> known = this->items(table_[at] - 1);
    if (std::equal(known.begin(), known.end(), items.begin(), items.end())) return table_[at] - 1;
  }
  const uint32_t id = uint32_t(sets_.size());
  uint32_t depth = 0;
  if (id != 0)  // the bottom's frame is itself
    for (const Item& item : items) depth = std::max(depth, sets_[item.frame].depth + 1);
  sets_.push_back({uint32_t(items_.size()), uint32_t(items_.size() + items.size()), depth});
  items_.insert(items_.end(), items.begin(), items.end());
  rows_.emplace_back();
  table_[at] = id + 1;
  return id;
}

uint32_t ItemSets::intern(Members members) {
  const auto [place, fresh] = member_ids_.try_emplace(std::move(members), uint32_t(members_.size()));
  if (fresh) {
    members_.push_back(&place->first);
    members_bytes_ += 128 + 8 * place->first.bits.size();
  }
  return place->second;
}

// What follows without a byte. Ends of rules first, to the last; then calls, each rule once for all its callers, so
// that their sets of items to come back to are whole when the frame is made: who calls comes before whom it calls
// (Network::Rule::rank). A rule that has just been called may end at once, but then its callers have skipped it.
uint32_t ItemSets::close() {
  may_end_ = true;
  size_t at = 0;
  for (;;) {
    while (at < found_.size()) {
      const Item item = found_[at++];
      expand(item);
    }
    if (buckets_.empty()) break;
    Bucket bucket = std::move(buckets_.begin()->second);
    buckets_.erase(buckets_.begin());
    may_end_ = false;
    add({network_->rules[bucket.rule].start, 0, 0, intern(bucket.back)});
  }
  const uint32_t end = uint32_t(network_->states.size() - 1);
  std::erase_if(found_, [&](const Item& item) { return item.state != end && network_->edges_of(item.state).empty(); });
  const uint32_t set = found_.empty() ? kDead : intern(found_);
  found_.clear();
  for (uint32_t slot : found_slots_) found_table_[slot] = 0;
  found_slots_.clear();
  return set;
}

bool ItemSets::fits(uint32_t frame, uint32_t state) const {
  return uint64_t(sets_[frame].depth) + network_->states[state].height <= kMaxStackDepth;
}

void ItemSets::add(const Item& item) {
  if (!fits(item.frame, item.state)) return;
  if (4 * found_.size() >= found_table_.size()) {
    found_table_.assign(found_table_.size() * 4, 0);
    found_slots_.clear();
    for (uint32_t i = 0; i < found_.size(); i++) {
      size_t at = hash_of(found_[i]) & (found_table_.size() - 1);
      while (found_table_[at] != 0) at = (at + 1) & (found_table_.size() - 1);
      found_table_[at] = i + 1;
      found_slots_.push_back(uint32_t(at));
    }
  }
  size_t at = hash_of(item) & (found_table_.size() - 1);
  for (; found_table_[at] != 0; at = (at + 1) & (found_table_.size() - 1))
    if (found_[found_table_[at] - 1] == item) return;
  count(1);
  found_.push_back(item);
  found_table_[at] = uint32_t(found_.size());
  found_slots_.push_back(uint32_t(at));
}

void ItemSets::end_rule(const Item& item) {
  if (!may_end_) return;
  for (const Item& back : items(item.frame)) add(back);
}

void ItemSets::call(uint32_t rule, const Item& back) {
  if (!fits(back.frame, back.state)) return;
  count(1);
  Bucket& bucket = buckets_[network_->rules[rule].rank];
  bucket.rule = rule;
  bucket.back.push_back(back);
}

void ItemSets::expand(const Item& item) {
  const Network::State& state = network_->states[item.state];
  if (item.partial != 0 || item.state == network_->states.size() - 1) return;
  switch (state.kind) {
    case Network::Kind::kPlain:
      if (state.accepts) end_rule(item);
      for (uint32_t to : network_->skips_of(item.state)) add({to, 0, item.value, item.frame});
      for (const Network::Call& c : network_->calls_of(item.state)) {
        if (!c.tail) {
          call(c.rule, {c.to, 0, item.value, item.frame});
        } else {  // straight back to the caller's callers: lists by right recursion need no stack
          for (const Item& back : items(item.frame)) call(c.rule, back);
        }
      }
      break;
    case Network::Kind::kCounted:
      if (item.value >= network_->counts[state.index].min) end_rule(item);
      break;
    case Network::Kind::kRepeat: {
      const Network::Count& n = network_->counts[state.index];
      if (item.value >= n.min || network_->rules[n.rule].nullable) end_rule(item);
      if (network_->states[network_->rules[n.rule].start].height == kUnlimited) break;
      const uint32_t next = n.max == kUnlimited ? std::min(item.value + 1, n.min) : item.value + 1;
      if (item.value < n.max) call(n.rule, {item.state, 0, next, item.frame});
      break;
    }
    default: expand_object(item, state);
  }
}

ItemSets::Outlook ItemSets::outlook(const ObjectPlan& plan, const Members& seen) const {
  auto has = [&](uint32_t i) { return i / 64 < seen.bits.size() && (seen.bits[i / 64] >> (i % 64) & 1); };
  Outlook view;
  view.need = plan.declared;
  view.count = seen.count;
  for (uint32_t i = 0; i < plan.declared; i++) {
    if (has(i)) view.first = i + 1;
    if (!plan.required[i] || has(i)) continue;
    view.missing++;
    view.need = std::min(view.need, i);
  }
  if (has(plan.declared)) view.first = plan.declared;
  return view;
}

bool ItemSets::may_come(const ObjectPlan& plan, const Members& seen, const Outlook& view, uint32_t member,
                        uint32_t frame) const {
  const bool declared = member < plan.declared;
  if (declared && member / 64 < seen.bits.size() && (seen.bits[member / 64] >> (member % 64) & 1)) return false;
  if (plan.ordered && (std::min(member, plan.declared) > view.need || (declared && member < view.first))) return false;
  const uint32_t missing = view.missing - (declared && plan.required[member] ? 1 : 0);
  if (plan.max != kUnlimited && view.count + 1 + missing > plan.max) return false;
  if (plan.ordered && declared && plan.min > 0 && view.count + plan.declared - member < plan.min) return false;
  const uint32_t height = network_->states[network_->rules[plan.members[member]].start].height;
  return uint64_t(sets_[frame].depth) + 1 + height <= kMaxStackDepth;
}

uint32_t ItemSets::with_member(const ObjectPlan& plan, uint32_t seen, uint32_t member) {
  Members more = *members_[seen];
  const uint32_t bit = std::min(member, plan.declared);
  if (bit < plan.declared || plan.ordered) {
    if (more.bits.size() <= bit / 64) more.bits.resize(bit / 64 + 1);
    more.bits[bit / 64] |= uint64_t(1) << (bit % 64);
  }
  if (plan.max != kUnlimited || plan.min > 0) more.count++;
  return intern(std::move(more));
}

void ItemSets::expand_object(const Item& item, const Network::State& state) {
  const ObjectPlan& plan = network_->objects[state.index];
  const bool behind_member = state.kind == Network::Kind::kObjectAfter;
  const uint32_t value = behind_member ? with_member(plan, item.value, item.state - plan.after) : item.value;
  const Members& seen = *members_[value];
  const Outlook view = outlook(plan, seen);
  count(plan.members.size());
  if (state.kind != Network::Kind::kObjectNext && view.missing == 0 && view.count >= plan.min)
    add({plan.close, 0, 0, item.frame});
  for (uint32_t i = 0; i < plan.members.size(); i++) {
    if (!may_come(plan, seen, view, i, item.frame)) continue;
    if (behind_member) {
      add({plan.comma, 0, value, item.frame});
      break;
    }
    call(plan.members[i], {plan.after + i, 0, value, item.frame});
  }
}

uint32_t ItemSets::closed(std::span<const Item> seeds) {
  for (const Item& item : seeds) add(item);
  return close();
}

// A row of steps with those bytes refused that no item can read; the others are found when they are asked for.
void ItemSets::make_row(uint32_t set) {
  count(kRowWork);
  rows_made_++;
  rows_[set] = std::make_unique_for_overwrite<uint32_t[]>(256);
  uint32_t* row = rows_[set].get();
  std::fill_n(row, 256, kDead);
  auto ask = [&](uint32_t first, uint32_t last) { std::fill(row + first, row + last + 1, kUnknown); };
  for (const Item& item : items(set)) {
    if (item.state == network_->states.size() - 1) continue;
    if (item.partial != 0) ask(0, 255);
    if (network_->states[item.state].spelling == Spelling::kQuoted) ask('\\', '\\');
    for (const Network::Edge& edge : network_->edges_of(item.state)) {
      if (edge.low < 0x80) ask(edge.low, std::min<uint32_t>(edge.high, 0x7F));
      if (edge.high >= 0x80) ask(0x80, 255);
    }
  }
}

uint32_t ItemSets::find_step(uint32_t set, uint8_t byte) {
  if (!rows_[set]) {
    make_row(set);
    if (rows_[set][byte] == kDead) return kDead;
  }
  const Network& network = *network_;
  for (const Item& item : items(set)) {
    const Network::State& state = network.states[item.state];
    count(1);
    if (item.state == network.states.size() - 1) continue;
    uint32_t value = item.value;
    if (state.kind == Network::Kind::kCounted) {
      const Network::Count& n = network.counts[state.index];
      if (value >= n.max) continue;
      value = n.max == kUnlimited ? std::min(value + 1, n.min) : value + 1;
    }
    const CharStep read = read_byte(state.spelling, item.partial, byte);
    if (read.kind == CharStep::Kind::kRefused) continue;
    for (const Network::Edge& edge : network.edges_of(item.state)) {
      auto meets = [&](const CharRange& r) { return std::max(edge.low, r.low) <= std::min(edge.high, r.high); };
      if (read.kind == CharStep::Kind::kDone) {
        if (edge.low <= read.code_point && read.code_point <= edge.high) add({edge.to, 0, value, item.frame});
      } else if (meets(read.possible[0]) || meets(read.possible[1])) {
        add({item.state, read.partial, item.value, item.frame});
        break;
      }
    }
  }
  const uint32_t next = close();
  rows_[set][byte] = next;
  return next;
}

bool ItemSets::full() const { return items_.size() > kMaxItems || members_bytes_ > kMaxMembers; }

void ItemSets::new_budget() {
  work_ = 0;
  if (rows_made_ <= kMaxRows) return;
  for (auto& row : rows_) row.reset();
  rows_made_ = 0;
}

size_t ItemSets::bytes() const {
  return items_.size() * sizeof(Item) + sets_.size() * (sizeof(Set) + sizeof(void*)) + rows_made_ * 1024 +
         members_bytes_ + table_.size() * 4;
}

uint32_t ItemSets::import(const ItemSets& other, uint32_t set) {
  std::vector<uint32_t> done(other.sets_.size(), kUnknown);
  done[0] = 0;  // the bottom
  return set == kDead ? kDead : import(other, set, done);
}

uint32_t ItemSets::import(const ItemSets& other, uint32_t set, std::vector<uint32_t>& done) {
  if (done[set] != kUnknown) return done[set];
  std::vector<Item> copy(other.items(set).begin(), other.items(set).end());
  for (Item& item : copy) {
    const Network::Kind kind = network_->states[item.state].kind;
    const bool counts = kind == Network::Kind::kCounted || kind == Network::Kind::kRepeat;
    if (!counts && item.value != 0) item.value = intern(Members(*other.members_[item.value]));
    item.frame = import(other, item.frame, done);
  }
  return done[set] = intern(copy);
}

}  // namespace tenth
