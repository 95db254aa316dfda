#include "grammar/grammar.h"

#include <algorithm>

#include "base/error.h"
#include "grammar/gbnf.h"
#include "grammar/item_sets.h"
#include "grammar/json_schema.h"
#include "grammar/network.h"

namespace tenth {
namespace {

constexpr size_t kMaxMaskBytes = 16 << 20;

void allow(std::vector<uint32_t>& mask, int32_t id) { mask[size_t(id) / 32] |= 1u << (id % 32); }

}  // namespace

Grammar::Grammar(Network network) : network_(std::make_shared<const Network>(std::move(network))) {}

Grammar Grammar::from_gbnf(std::string_view text, const std::string& where) { return Grammar(parse_gbnf(text, where)); }

Grammar Grammar::from_json_schema(const OrderedJson& schema, const std::string& where, MemberOrder order) {
  return Grammar(json_schema_network(schema, where, order == MemberOrder::kAsListed));
}

Grammar Grammar::json_object() {
  return from_json_schema(OrderedJson{{"type", "object"}}, "json_object", MemberOrder::kAny);
}

Grammar Grammar::list(const std::string& before, const std::vector<Item>& items, const std::string& between,
                      const std::string& after, bool several) {
  NetworkBuilder builder("calls");
  const uint32_t root = builder.add_rule("calls");
  const uint32_t first = builder.text(builder.start(root), before), end = builder.add_state();
  for (const Item& item : items) {
    const uint32_t behind = builder.add_state();
    builder.call(builder.text(first, item.before), builder.include(*item.grammar.network()), behind);
    builder.skip(builder.text(behind, item.after), end);
  }
  if (several) builder.skip(builder.text(end, between), first);
  builder.accept(builder.text(end, after));
  return Grammar(builder.finish(root));
}

bool Grammar::accepts(std::string_view text) const {
  ItemSets sets(network_);
  uint32_t set = sets.start();
  for (size_t i = 0; i < text.size() && set != ItemSets::kDead; i++) {
    sets.new_budget();
    set = sets.step(set, uint8_t(text[i]));
  }
  return sets.complete(set);
}

// The sets of one time and the masks of some of them, the latest used first.
struct GrammarMasks::Sets {
  explicit Sets(std::shared_ptr<const Network> network) : items(std::move(network)) {}
  ItemSets items;
  struct Mask {
    uint32_t set;
    std::vector<uint32_t> bits;
  };
  std::list<Mask> masks;
  std::unordered_map<uint32_t, std::list<Mask>::iterator> mask_of;
};

GrammarMasks::GrammarMasks(Grammar grammar, std::shared_ptr<const GrammarVocabulary> vocabulary)
    : grammar_(std::move(grammar)),
      vocabulary_(std::move(vocabulary)),
      sets_(std::make_shared<Sets>(grammar_.network())),
      path_(vocabulary_->longest() + 1) {}

GrammarMasks::~GrammarMasks() = default;

size_t GrammarMasks::masks_found() const {
  const std::lock_guard lock(mutex_);
  return masks_found_;
}

size_t GrammarMasks::bytes() const {
  const std::lock_guard lock(mutex_);
  return sets_->items.bytes() + sets_->masks.size() * 4 * vocabulary_->mask_words();
}

// Allows the tokens of the nodes begin..end that the set takes; it stands behind the first depth bytes of them.
void GrammarMasks::walk(ItemSets& sets, uint32_t set, size_t begin, size_t end, size_t depth,
                        std::vector<uint32_t>& mask) {
  path_[depth] = set;
  const std::span<const GrammarVocabulary::Node> nodes = vocabulary_->nodes();
  for (size_t i = begin; i < end;) {
    const GrammarVocabulary::Node& node = nodes[i];
    const uint32_t next = sets.step(path_[node.depth - 1], node.byte);
    if (next == ItemSets::kDead) {
      i = node.next;
      continue;
    }
    path_[node.depth] = next;
    for (int32_t id : vocabulary_->tokens_of(i)) allow(mask, id);
    i++;
  }
}

std::vector<uint32_t> GrammarMasks::find_mask(ItemSets& sets, uint32_t set) {
  std::vector<uint32_t> mask(vocabulary_->mask_words(), 0);
  const Network& network = sets.network();
  const std::vector<Item> items(sets.items(set).begin(), sets.items(set).end());
  std::vector<Item> others;
  const std::span<const GrammarVocabulary::Node> nodes = vocabulary_->nodes();
  for (const Item& item : items) {
    const Network::State& state = network.states[item.state];
    if (!state.any_text || item.partial != 0) {
      others.push_back(item);
      continue;
    }
    // Inside of a free string: what lies within it is known; what goes on behind its quote is looked at.
    const Network::Count& count = network.counts[state.index];
    const uint64_t most = count.max == kUnlimited ? UINT64_MAX : count.max - item.value;
    const uint64_t least = count.min > item.value ? count.min - item.value : 0;
    vocabulary_->add_inside(most, mask);
    const std::vector<Item> behind(sets.items(item.frame).begin(), sets.items(item.frame).end());
    const uint32_t outside = sets.closed(behind);
    const uint32_t quoted = outside == ItemSets::kDead ? outside : sets.step(outside, '"');
    if (quoted == ItemSets::kDead) continue;
    for (const GrammarVocabulary::Quote& quote : vocabulary_->quotes()) {
      if (quote.characters < least || quote.characters > most) continue;
      for (int32_t id : vocabulary_->tokens_of(quote.node)) allow(mask, id);
      const GrammarVocabulary::Node& node = nodes[quote.node];
      if (node.next > quote.node + 1) walk(sets, quoted, quote.node + 1, node.next, node.depth, mask);
    }
  }
  if (others.size() == items.size()) {
    walk(sets, set, 0, nodes.size(), 0, mask);
  } else {
    // The quote that ends a free string is there already; walked again it only costs time.
    const uint32_t rest = sets.closed(others);
    if (rest != ItemSets::kDead) walk(sets, rest, 0, nodes.size(), 0, mask);
  }
  if (sets.complete(set))
    for (int32_t id : vocabulary_->ends()) allow(mask, id);
  return mask;
}

const std::vector<uint32_t>& GrammarMasks::mask_of(Sets& sets, uint32_t set) {
  const auto known = sets.mask_of.find(set);
  if (known != sets.mask_of.end()) {
    sets.masks.splice(sets.masks.begin(), sets.masks, known->second);
    return known->second->bits;
  }
  std::vector<uint32_t> bits = find_mask(sets.items, set);
  masks_found_++;
  const size_t most = std::max<size_t>(16, kMaxMaskBytes / (4 * vocabulary_->mask_words() + 64));
  if (sets.masks.size() >= most) {
    sets.mask_of.erase(sets.masks.back().set);
    sets.masks.pop_back();
  }
  sets.masks.push_front({set, std::move(bits)});
  sets.mask_of[set] = sets.masks.begin();
  return sets.masks.front().bits;
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<GrammarMasks> masks) : masks_(std::move(masks)) {
  const std::lock_guard lock(masks_->mutex_);
  sets_ = masks_->sets_;
  now_ = sets_->items.start();
}

// Before each use, under the lock: replaces sets that grew too large, takes this matcher's along.
void GrammarMatcher::renew() const {
  masks_->sets_->items.new_budget();
  if (masks_->sets_->items.full()) masks_->sets_ = std::make_shared<GrammarMasks::Sets>(masks_->grammar_.network());
  if (sets_ == masks_->sets_) return;
  ItemSets& items = masks_->sets_->items;
  now_ = items.import(sets_->items, now_);
  for (uint32_t& set : before_) set = items.import(sets_->items, set);
  sets_ = masks_->sets_;
}

bool GrammarMatcher::accept(int32_t id) {
  if (finished_ || id < 0 || size_t(id) >= masks_->vocabulary_->size()) return false;
  const std::lock_guard lock(masks_->mutex_);
  renew();
  uint32_t next = now_;
  if (masks_->vocabulary_->is_end(id)) {
    if (!sets_->items.complete(now_)) return false;
    finished_ = true;
  } else {
    const std::string& bytes = masks_->vocabulary_->bytes(id);
    next = bytes.empty() ? ItemSets::kDead : sets_->items.step(now_, bytes);
    if (next == ItemSets::kDead) return false;
  }
  if (before_.size() == kMaxRollback) before_.erase(before_.begin());
  before_.push_back(now_);
  now_ = next;
  return true;
}

bool GrammarMatcher::fill_mask(std::span<uint32_t> bits) const {
  require(bits.size() == masks_->vocabulary_->mask_words(), ErrorKind::kInternal,
          "grammar: expected a mask of {} words, got {}", masks_->vocabulary_->mask_words(), bits.size());
  if (finished_) {
    std::fill(bits.begin(), bits.end(), 0);
    return false;
  }
  const std::lock_guard lock(masks_->mutex_);
  renew();
  const std::vector<uint32_t>& mask = masks_->mask_of(*sets_, now_);
  uint32_t any = 0;
  for (size_t i = 0; i < bits.size(); i++) any |= bits[i] = mask[i];
  return any != 0;
}

bool GrammarMatcher::complete() const {
  const std::lock_guard lock(masks_->mutex_);
  return sets_->items.complete(now_);
}

void GrammarMatcher::rollback(size_t tokens) {
  require(tokens <= before_.size(), ErrorKind::kInternal, "grammar: expected to take back at most {} tokens, got {}",
          before_.size(), tokens);
  if (tokens == 0) return;
  now_ = before_[before_.size() - tokens];
  before_.resize(before_.size() - tokens);
  finished_ = false;
}

}  // namespace tenth
