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

// Where the item stands once the string that it is in has ended with a quote.
uint32_t behind_quote(ItemSets& sets, const Item& item) {
  const std::vector<Item> behind(sets.items(item.frame).begin(), sets.items(item.frame).end());
  const uint32_t outside = sets.closed(behind);
  return outside == ItemSets::kDead ? outside : sets.step(outside, '"');
}

}  // namespace

Grammar::Grammar(Network network) : network_(std::make_shared<const Network>(std::move(network))) {}

Grammar Grammar::from_gbnf(std::string_view text, const std::string& where, const GrammarVocabulary* marks) {
  return Grammar(parse_gbnf(text, where, marks));
}

Grammar Grammar::from_json_schema(const OrderedJson& schema, const std::string& where, MemberOrder order) {
  return Grammar(json_schema_network(schema, where, order == MemberOrder::kAsListed));
}

Grammar Grammar::json_object() {
  return from_json_schema(OrderedJson{{"type", "object"}}, "json_object", MemberOrder::kAny);
}

Grammar Grammar::from_parameters(const OrderedJson& schema, const std::string& where, MemberOrder order,
                                 const ParameterSyntax& syntax) {
  return Grammar(parameters_network(schema, where, order == MemberOrder::kAsListed, syntax));
}

Grammar Grammar::list(const std::vector<std::string>& before, const std::vector<Item>& items,
                      const std::string& between, const std::string& after, bool several) {
  NetworkBuilder builder("calls");
  const uint32_t root = builder.add_rule("calls");
  const uint32_t first = builder.add_state(), end = builder.add_state();
  for (const std::string& text : before) builder.skip(builder.text(builder.start(root), text), first);
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

// Inside of a free string, the tokens with its closing quote: of the nodes begin..end, least..most characters before
// it.
void GrammarMasks::walk_quotes(ItemSets& sets, uint32_t quoted, size_t begin, size_t end, uint64_t least, uint64_t most,
                               std::vector<uint32_t>& mask) {
  if (quoted == ItemSets::kDead) return;
  const std::span<const GrammarVocabulary::Quote> quotes = vocabulary_->quotes();
  auto quote = std::lower_bound(quotes.begin(), quotes.end(), begin,
                                [](const GrammarVocabulary::Quote& q, size_t node) { return q.node < node; });
  for (; quote != quotes.end() && quote->node < end; ++quote) {
    if (quote->characters < least || quote->characters > most) continue;
    for (int32_t id : vocabulary_->tokens_of(quote->node)) allow(mask, id);
    const GrammarVocabulary::Node& node = vocabulary_->nodes()[quote->node];
    if (node.next > quote->node + 1) walk(sets, quoted, quote->node + 1, node.next, node.depth, mask);
  }
}

// Of an item whose string is free behind most characters: all tokens within a string are taken as allowed, and only the
// others' ways through the tree are walked, those that stay near the texts that are told apart.
void GrammarMasks::walk_near_text(ItemSets& sets, const Item& item, std::vector<uint32_t>& mask) {
  const Network& network = sets.network();
  std::vector<uint32_t> near(mask.size(), 0);
  vocabulary_->add_inside(UINT64_MAX, near);
  const uint32_t quoted = behind_quote(sets, item);
  auto free_behind = [&](uint32_t before, uint8_t byte, uint32_t next) {
    const std::span<const Item> to = sets.items(next), from = sets.items(before);
    if (to.size() == 1 && to[0].partial == 0) return to[0].frame == item.frame && network.states[to[0].state].any_text;
    // The first byte of a character, all of which lead to the free state.
    if (from.size() != 1 || from[0].partial != 0 || from[0].frame != item.frame || byte < 0x80) return false;
    const CharStep step = read_byte(Spelling::kQuoted, 0, byte);
    const std::span<const Network::Edge> edges = network.edges_of(from[0].state);
    return std::any_of(edges.begin(), edges.end(), [&](const Network::Edge& e) {
      return e.low <= step.possible[0].low && step.possible[0].high <= e.high && network.states[e.to].any_text;
    });
  };
  const std::span<const GrammarVocabulary::Node> nodes = vocabulary_->nodes();
  std::vector<uint32_t> path(vocabulary_->longest() + 1);
  path[0] = sets.closed({&item, 1});
  for (size_t i = 0; i < nodes.size();) {
    const GrammarVocabulary::Node& node = nodes[i];
    const uint32_t before = path[node.depth - 1], next = sets.step(before, node.byte);
    if (next == ItemSets::kDead) {
      for (int32_t id : vocabulary_->tokens_below(i)) near[size_t(id) / 32] &= ~(1u << (id % 32));
      i = node.next;
    } else if (free_behind(before, node.byte, next)) {
      walk_quotes(sets, quoted, i, node.next, 0, UINT64_MAX, near);
      i = node.next;
    } else {
      for (int32_t id : vocabulary_->tokens_of(i)) allow(near, id);
      path[node.depth] = next;
      i++;
    }
  }
  for (size_t i = 0; i < mask.size(); i++) mask[i] |= near[i];
}

std::vector<uint32_t> GrammarMasks::find_mask(ItemSets& sets, uint32_t set) {
  std::vector<uint32_t> mask(vocabulary_->mask_words(), 0);
  const Network& network = sets.network();
  const std::vector<Item> items(sets.items(set).begin(), sets.items(set).end());
  std::vector<Item> others;
  const size_t nodes = vocabulary_->nodes().size();
  for (const Item& item : items) {
    const Network::State& state = network.states[item.state];
    if (item.partial == 0 && state.near_text) {
      walk_near_text(sets, item, mask);
    } else if (item.partial == 0 && state.any_text) {
      // What lies within a free string is known; what goes on behind its quote is looked at.
      uint64_t least = 0, most = UINT64_MAX;
      if (state.kind == Network::Kind::kCounted) {
        const Network::Count& count = network.counts[state.index];
        if (count.max != kUnlimited) most = count.max - item.value;
        least = count.min > item.value ? count.min - item.value : 0;
      }
      vocabulary_->add_inside(most, mask);
      walk_quotes(sets, behind_quote(sets, item), 0, nodes, least, most, mask);
    } else {
      others.push_back(item);
    }
  }
  if (others.size() == items.size()) {
    walk(sets, set, 0, nodes, 0, mask);
  } else {
    // The quote that ends a free string is there already; walked again it only costs time.
    const uint32_t rest = sets.closed(others);
    if (rest != ItemSets::kDead) walk(sets, rest, 0, nodes, 0, mask);
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
