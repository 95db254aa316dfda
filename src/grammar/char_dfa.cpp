#include "grammar/char_dfa.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/utf8.h"

namespace tenth {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

void add_edges(std::vector<CharDfa::Edge>& edges, std::span<const CharRange> ranges, uint32_t to) {
  for (const CharRange& range : ranges) edges.push_back({range.low, range.high, to});
}

uint32_t target(const CharDfa::State& state, char32_t c) {
  auto edge = std::upper_bound(state.edges.begin(), state.edges.end(), c,
                               [](char32_t value, const CharDfa::Edge& e) { return value < e.low; });
  if (edge == state.edges.begin() || (--edge)->high < c) return kNone;
  return edge->to;
}

// The automaton over pairs of states, kNone standing for "refused by then". accepts says which pairs accept, and
// lives which are worth following.
template <class Accepts, class Lives>
CharDfa product(const CharDfa& a, const CharDfa& b, Accepts accepts, Lives lives) {
  static const CharDfa::State refused;
  CharDfa made;
  std::map<std::pair<uint32_t, uint32_t>, uint32_t> ids;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  auto id_of = [&](uint32_t x, uint32_t y) {
    const auto [place, fresh] = ids.try_emplace({x, y}, uint32_t(pairs.size()));
    if (fresh) pairs.emplace_back(x, y);
    require(pairs.size() <= CharDfa::kMaxStates, ErrorKind::kInput,
            "a pattern or a combination of constraints on one string: expected an automaton of at most {} states",
            CharDfa::kMaxStates);
    return place->second;
  };
  id_of(0, 0);
  for (size_t i = 0; i < pairs.size(); i++) {
    const auto [x, y] = pairs[i];
    const CharDfa::State& left = x == kNone ? refused : a.states[x];
    const CharDfa::State& right = y == kNone ? refused : b.states[y];
    CharDfa::State state;
    state.accepts = accepts(left.accepts, right.accepts);
    // Sweep over the borders of both lists of edges.
    size_t l = 0, r = 0;
    char32_t at = 0;
    while (l < left.edges.size() || r < right.edges.size()) {
      const CharDfa::Edge* le = l < left.edges.size() ? &left.edges[l] : nullptr;
      const CharDfa::Edge* re = r < right.edges.size() ? &right.edges[r] : nullptr;
      const char32_t next = std::min<char32_t>(le ? le->low : kLastCodePoint + 1, re ? re->low : kLastCodePoint + 1);
      at = std::max(at, next);
      const bool in_left = le && le->low <= at, in_right = re && re->low <= at;
      char32_t end = kLastCodePoint;
      if (le) end = std::min<char32_t>(end, in_left ? le->high : le->low - 1);
      if (re) end = std::min<char32_t>(end, in_right ? re->high : re->low - 1);
      const uint32_t nx = in_left ? le->to : kNone, ny = in_right ? re->to : kNone;
      if (lives(nx != kNone, ny != kNone)) {
        const uint32_t to = id_of(nx, ny);
        if (!state.edges.empty() && state.edges.back().to == to && state.edges.back().high + 1 == at)
          state.edges.back().high = end;
        else
          state.edges.push_back({at, end, to});
      }
      at = end + 1;
      if (le && le->high < at) l++;
      if (re && re->high < at) r++;
    }
    made.states.push_back(std::move(state));
  }
  return trimmed(made);
}

}  // namespace

std::vector<CharRange> normal_ranges(std::vector<CharRange> ranges, bool negated) {
  ranges.push_back({0xD800, 0xDFFF});  // joined into the others, then taken out (or, negated, left out)
  std::sort(ranges.begin(), ranges.end(), [](const CharRange& a, const CharRange& b) { return a.low < b.low; });
  std::vector<CharRange> joined;
  for (const CharRange& range : ranges) {
    if (!joined.empty() && range.low <= joined.back().high + 1)
      joined.back().high = std::max(joined.back().high, range.high);
    else
      joined.push_back(range);
  }
  std::vector<CharRange> result;
  auto put = [&](char32_t low, char32_t high) {
    high = std::min(high, kLastCodePoint);
    if (low < 0xD800 && high > 0xDFFF) {
      result.push_back({low, 0xD7FF});
      result.push_back({0xE000, high});
      return;
    }
    if (low >= 0xD800 && low <= 0xDFFF) low = 0xE000;
    if (high >= 0xD800 && high <= 0xDFFF) high = 0xD7FF;
    if (low <= high) result.push_back({low, high});
  };
  if (!negated) {
    for (const CharRange& range : joined) put(range.low, range.high);
    return result;
  }
  char32_t at = 0;
  for (const CharRange& range : joined) {
    if (range.low > at) put(at, range.low - 1);
    at = range.high + 1;
  }
  if (at <= kLastCodePoint) put(at, kLastCodePoint);
  return result;
}

CharDfa CharDfa::any_text() {
  CharDfa dfa;
  dfa.states.resize(1);
  dfa.states[0].accepts = true;
  add_edges(dfa.states[0].edges, kAllChars, 0);
  return dfa;
}

CharDfa CharDfa::of_lengths(uint64_t min, uint64_t max) {
  const bool bounded = max != UINT64_MAX;
  const uint64_t last = bounded ? max : min;
  require(last < kMaxStates, ErrorKind::kInput,
          "a length beside a pattern: expected at most {} characters, got {} (drop one of the two)", kMaxStates - 1,
          last);
  CharDfa dfa;
  dfa.states.resize(last + 1);
  for (uint64_t n = 0; n <= last; n++) {
    dfa.states[n].accepts = n >= min && n <= max;
    if (n < last) add_edges(dfa.states[n].edges, kAllChars, uint32_t(n + 1));
  }
  if (!bounded) add_edges(dfa.states[last].edges, kAllChars, uint32_t(last));
  return trimmed(dfa);
}

CharDfa CharDfa::of_texts(std::span<const std::string> texts) {
  std::vector<std::map<char32_t, uint32_t>> next(1);
  std::vector<bool> accepts(1, false);
  for (const std::string& text : texts) {
    uint32_t state = 0;
    for (size_t at = 0; at < text.size();) {
      const auto [place, fresh] = next[state].try_emplace(next_code_point(text, at), uint32_t(next.size()));
      state = place->second;
      if (fresh) {
        next.emplace_back();
        accepts.push_back(false);
      }
    }
    accepts[state] = true;
  }
  CharDfa dfa;
  dfa.states.resize(next.size());
  for (size_t i = 0; i < next.size(); i++) {
    dfa.states[i].accepts = accepts[i];
    for (const auto& [c, to] : next[i]) dfa.states[i].edges.push_back({c, c, to});
  }
  return dfa;
}

bool CharDfa::matches(const std::string& utf8) const {
  uint32_t state = 0;
  for (size_t at = 0; at < utf8.size();) {
    state = target(states[state], next_code_point(utf8, at));
    if (state == kNone) return false;
  }
  return states[state].accepts;
}

bool CharDfa::empty() const { return !states[0].accepts && states[0].edges.empty(); }

CharDfa both(const CharDfa& a, const CharDfa& b) {
  return product(
      a, b, [](bool x, bool y) { return x && y; }, [](bool x, bool y) { return x && y; });
}

CharDfa either(const CharDfa& a, const CharDfa& b) {
  return product(
      a, b, [](bool x, bool y) { return x || y; }, [](bool x, bool y) { return x || y; });
}

CharDfa without(const CharDfa& a, const CharDfa& b) {
  return product(
      a, b, [](bool x, bool y) { return x && !y; }, [](bool x, bool) { return x; });
}

CharDfa trimmed(const CharDfa& dfa) {
  std::vector<std::vector<uint32_t>> sources(dfa.states.size());
  std::vector<uint32_t> work;
  std::vector<bool> live(dfa.states.size(), false);
  for (uint32_t i = 0; i < dfa.states.size(); i++) {
    for (const CharDfa::Edge& edge : dfa.states[i].edges) sources[edge.to].push_back(i);
    if (dfa.states[i].accepts) {
      live[i] = true;
      work.push_back(i);
    }
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (uint32_t source : sources[state])
      if (!live[source]) {
        live[source] = true;
        work.push_back(source);
      }
  }
  std::vector<uint32_t> renamed(dfa.states.size(), kNone);
  uint32_t count = 0;
  for (uint32_t i = 0; i < dfa.states.size(); i++)
    if (i == 0 || live[i]) renamed[i] = count++;
  CharDfa result;
  for (uint32_t i = 0; i < dfa.states.size(); i++) {
    if (renamed[i] == kNone) continue;
    CharDfa::State state;
    state.accepts = dfa.states[i].accepts;
    for (const CharDfa::Edge& edge : dfa.states[i].edges)
      if (live[edge.to]) state.edges.push_back({edge.low, edge.high, renamed[edge.to]});
    result.states.push_back(std::move(state));
  }
  return result;
}

}  // namespace tenth
