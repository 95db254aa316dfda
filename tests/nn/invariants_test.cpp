// Ways to compute one thing that must agree: prefill and decode, latent and expanded caches, batches and single
// sequences, any number of threads, experts chosen and replayed.
#include "base/threads.h"
#include "nn/golden_models.h"
#include "nn/tiny_models.h"

namespace tenth::testing {
namespace {

struct Sequences {
  std::vector<int32_t> ids, lengths;
};

Sequences random_sequences(uint64_t seed, std::vector<int32_t> lengths, int64_t vocabulary) {
  Rng rng(seed);
  int64_t total = 0;
  for (int32_t length : lengths) total += length;
  return {random_ids(rng, total, vocabulary), std::move(lengths)};
}

std::vector<Values> rows_of(const Tensor& logits) {
  std::vector<Values> rows;
  for (int64_t n = 0; n < logits.dim(0); n++) rows.push_back(values_of(logits[n]));
  return rows;
}

// Logits of every position, made by prefill of the first tokens of each sequence and decode of the rest, `stride`
// tokens of a sequence at a time (two, where a draft is verified). Blocks are handed out backwards.
std::vector<Values> decoded(Transformer& model, const Sequences& s, CacheForm form, int32_t prefill, int32_t stride) {
  NoGrad off;
  Backend& backend = model.backend();
  const int32_t count = int32_t(s.lengths.size());
  const int64_t width = blocks_for(*std::max_element(s.lengths.begin(), s.lengths.end()));
  KvCache cache = model.make_cache(count * width + 1, form);
  for (const LayerCache& layer : cache.layers)  // what nobody stored must not matter
    for (const Tensor& t : layer.parts())
      if (t) backend.fill(t, kNaN);
  std::vector<int32_t> begins, heads, ids, tables(size_t(count * width));
  for (size_t i = 0; i < tables.size(); i++) tables[i] = int32_t(tables.size() - i);
  int32_t begin = 0, longest = 0;
  for (int32_t i = 0; i < count; i++) {
    const int32_t length = s.lengths[size_t(i)], head = std::min(prefill, length);
    begins.push_back(begin);
    heads.push_back(head);
    ids.insert(ids.end(), s.ids.begin() + begin, s.ids.begin() + begin + head);
    begin += length;
    longest = std::max(longest, length);
  }
  std::vector<Values> rows(s.ids.size());
  Pass first;
  first.batch = make_batch(backend, ids, heads, {tables, width});
  first.cache = &cache;
  const std::vector<Values> prefilled = rows_of(model.logits(model.hidden(first)).value());
  for (int32_t i = 0, row = 0; i < count; i++)
    for (int32_t t = 0; t < heads[size_t(i)]; t++) rows[size_t(begins[size_t(i)] + t)] = prefilled[size_t(row++)];
  for (int32_t at = prefill; at < longest; at += stride) {
    std::vector<int32_t> positions, sequences, places;
    ids.clear();
    for (int32_t i = 0; i < count; i++)
      for (int32_t t = at; t < std::min(at + stride, s.lengths[size_t(i)]); t++) {
        places.push_back(begins[size_t(i)] + t);
        ids.push_back(s.ids[size_t(places.back())]);
        positions.push_back(t);
        sequences.push_back(i);
      }
    Pass pass;
    pass.batch = make_step(backend, ids, positions, sequences, {tables, width});
    pass.cache = &cache;
    pass.decode = true;
    const std::vector<Values> step = rows_of(model.logits(model.hidden(pass)).value());
    for (size_t i = 0; i < places.size(); i++) rows[size_t(places[i])] = step[i];
  }
  return rows;
}

// kv_b_proj in the blocks of its file, absorbed by heads: beside the same weights as floats, and beside the reference.
TEST(LatentCache, AbsorbsInBlocks) {
  TENTH_NEEDS_SHARED();
  for (const char* name : {"deepseek2_lite-Q8_0.gguf", "deepseek2_v3-Q8_0.gguf"}) {
    const Path file = shared_folder() / "golden" / "gguf" / name;
    ComputeType blocks = DType::kF32, floats = DType::kF32;
    blocks.frozen = blocks.keep_blocks = floats.frozen = true;
    const auto all = [&](const char* backend, const ComputeType& compute, int32_t stride) {
      const auto model = load_model(file, get_backend(backend), compute);
      for (const Parameter& p : model->parameters())
        EXPECT_EQ(p.weight->absorbed_keys.defined(), compute.keep_blocks && p.name.ends_with("kv_b_proj.weight"));
      Values values;
      for (const Values& row : decoded(*model, random_sequences(3, {9, 20}, 90), CacheForm::kLatent, 1, stride))
        values.insert(values.end(), row.begin(), row.end());
      return values;
    };
    const Values got = all("cpu", blocks, 1);
    expect_same_bits(got, all("cpu", blocks, 3), name);
    EXPECT_LE(relative_distance(got, all("reference", blocks, 1)), 0.01) << name;  // ties: see Frozen
    EXPECT_LE(relative_distance(got, all("cpu", floats, 1)), 0.03) << name;
  }
}

class Models : public ::testing::TestWithParam<std::string> {
 protected:
  ModelConfig config_ = tiny_config(GetParam());
  Sequences sequences_ = random_sequences(7, {23, 1, 70, 9}, config_.vocab_size);
};

TEST_P(Models, PrefillAndDecodeGiveTheLogitsOfAFullForward) {
  struct Case {
    const char* backend;
    DType compute;
    double tolerance;
  };
  // |error| / |logits| of latent caches, whose absorbed sums run in another order. bf16: measured 0.012; the latent
  // query and the mixed latents are rounded, which the expanded form does not have. Where keys and values are cached,
  // decode makes the sums of training: the same bits.
  for (const Case& c : {Case{"reference", DType::kF64, 1e-14}, Case{"reference", DType::kF32, 1e-6},
                        Case{"cpu", DType::kF32, 1e-6}, Case{"cpu", DType::kBF16, 0.03}}) {
    const auto model = tiny_model(GetParam(), get_backend(c.backend), c.compute);
    const Values full = values_of(full_logits(*model, sequences_.ids, sequences_.lengths));
    for (const auto& [form, prefill, stride] :
         {std::tuple{CacheForm::kLatent, 1, 1}, std::tuple{CacheForm::kLatent, 17, 2},
          std::tuple{CacheForm::kExpanded, 5, 1}, std::tuple{CacheForm::kExpanded, 9, 3}}) {
      Values got;
      for (const Values& row : decoded(*model, sequences_, form, prefill, stride))
        got.insert(got.end(), row.begin(), row.end());
      const std::string what = fmt::format("{} {} prefill {}", c.backend, name_of(c.compute), prefill);
      const bool latent = config_.mla() && form == CacheForm::kLatent;
      // Rounded otherwise, a token selects other keys, which says nothing about arithmetic.
      if (latent && config_.sparse_attention() && c.compute == DType::kBF16) continue;
      if (latent || c.compute == DType::kF64)
        EXPECT_LE(relative_distance(got, full), c.tolerance) << what;
      else
        expect_same_bits(got, full, what);
    }
  }
}

TEST_P(Models, ABatchGivesTheBitsOfItsSequencesAlone) {
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    const auto model = tiny_model(GetParam(), get_backend("cpu"), compute);
    const Values together = values_of(full_logits(*model, sequences_.ids, sequences_.lengths));
    Values alone;
    size_t begin = 0;
    for (int32_t length : sequences_.lengths) {
      const std::span<const int32_t> ids(sequences_.ids.data() + begin, size_t(length));
      const Values one = values_of(full_logits(*model, ids, {&length, 1}));
      alone.insert(alone.end(), one.begin(), one.end());
      begin += size_t(length);
    }
    expect_same_bits(together, alone, std::string(name_of(compute)));
  }
}

TEST_P(Models, ThreadsDoNotChangeLogits) {
  const auto model = tiny_model(GetParam(), get_backend("cpu"), DType::kF32);
  const int before = thread_count();
  set_thread_count(1);
  const Values one = values_of(full_logits(*model, sequences_.ids, sequences_.lengths));
  set_thread_count(3);
  const Values three = values_of(full_logits(*model, sequences_.ids, sequences_.lengths));
  set_thread_count(before);
  expect_same_bits(three, one, "3 threads");
}

TEST_P(Models, ReplayedExpertsGiveTheSameLogits) {
  if (config_.n_routed_experts == 0) GTEST_SKIP() << GetParam() << " has no experts";
  Backend& backend = get_backend("cpu");
  const auto model = tiny_model(GetParam(), backend, DType::kF32);
  Routings chosen, replayed;
  const Values logits = values_of(full_logits(*model, sequences_.ids, sequences_.lengths, nullptr, &chosen));
  ASSERT_EQ(chosen.size(), 1u);  // one of two layers is a mixture
  expect_same_bits(values_of(full_logits(*model, sequences_.ids, sequences_.lengths, &chosen, &replayed)), logits,
                   "replay of what was chosen");
  EXPECT_EQ(replayed[0].to_host<int32_t>(), chosen[0].to_host<int32_t>());

  // Another choice for one token changes that token and no earlier one; what is replayed is what runs.
  std::vector<int32_t> other = chosen[0].to_host<int32_t>();
  const int32_t k = config_.gate.experts_per_token;
  for (int32_t i = 0; i < k; i++) other[size_t(10 * k + i)] = other[size_t(10 * k)] == 0 ? i + 5 - k + 3 : i;
  const Routings changed{Tensor::from_host<int32_t>(backend, other, chosen[0].shape())};
  const std::vector<Values> before = rows_of(full_logits(*model, sequences_.ids, sequences_.lengths));
  const std::vector<Values> after = rows_of(full_logits(*model, sequences_.ids, sequences_.lengths, &changed, nullptr));
  for (size_t n = 0; n < before.size(); n++) {
    if (n == 10)
      EXPECT_NE(before[n], after[n]);
    else
      EXPECT_EQ(before[n], after[n]) << n;  // the mixture is the last layer: no later token sees it
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, Models, ::testing::ValuesIn(kTinyModels), [](const auto& info) { return info.param; });

// Up to index_topk tokens all keys are selected: the bits of the model without an indexer.
TEST(SparseAttention, OfAShortSequenceIsMLA) {
  ModelConfig sparse = tiny_config("mla_sparse"), plain = sparse;
  sparse.index_topk = 70;
  plain.model_type = "deepseek_v3";
  plain.index_topk = 0;
  Transformer with(sparse, get_backend("cpu"), DType::kF32), without(plain, get_backend("cpu"), DType::kF32);
  initialize(with, 4, 1);
  std::map<std::string, Values> weights;
  for (const Parameter& p : with.parameters()) weights[p.name] = values_of(p.value());
  for (const Parameter& p : without.parameters()) set_values(p.value(), weights.at(p.name));
  without.refresh();
  const Sequences s = random_sequences(8, {70, 9}, 40), longer = random_sequences(8, {70, 9, 90}, 40);
  const Values all = values_of(full_logits(without, s.ids, s.lengths));
  expect_same_bits(values_of(full_logits(with, s.ids, s.lengths)), all, "short ones alone");
  Values beside = values_of(full_logits(with, longer.ids, longer.lengths));
  const Values long_one(beside.begin() + long(all.size()), beside.end());
  beside.resize(all.size());
  expect_same_bits(beside, all, "beside a longer one");
  const Values dense = values_of(full_logits(without, longer.ids, longer.lengths));
  EXPECT_NE(long_one, Values(dense.begin() + long(all.size()), dense.end()));
}

// What a token sees through L layers of a window of w: itself and the L (w - 1) tokens before it.
TEST(SlidingWindow, ReachesAsFarAsTheLayersCarryIt) {
  ModelConfig config = tiny_config("gqa");
  config.sliding_window = 5;
  config.sliding_layer = {true, true};
  const int32_t length = 90, reach = 2 * (5 - 1);
  Rng rng(21);
  std::vector<int32_t> ids = random_ids(rng, length, config.vocab_size);
  for (const DType compute : {DType::kF32, DType::kBF16}) {
    Transformer model(config, get_backend("cpu"), compute);
    initialize(model, 3, 0.3);
    const std::vector<int32_t> lengths = {length};
    const std::vector<Values> before = rows_of(full_logits(model, ids, lengths));
    const int32_t changed = 30;
    ids[changed] = (ids[changed] + 1) % int32_t(config.vocab_size);
    const std::vector<Values> after = rows_of(full_logits(model, ids, lengths));
    for (int32_t t = 0; t < length; t++)
      EXPECT_EQ(before[size_t(t)] != after[size_t(t)], t >= changed && t <= changed + reach) << "token " << t;
  }
}

// A window of at least the context is none, to the bit.
TEST(SlidingWindow, OfTheWholeContextIsNone) {
  const Sequences s = random_sequences(8, {70, 300}, 40);
  Values logits[2];
  for (const int64_t window : {0, 300}) {
    ModelConfig config = tiny_config("gqa");
    config.sliding_window = window;
    if (window) config.sliding_layer = {true, true};
    Transformer model(config, get_backend("cpu"), DType::kF32);
    initialize(model, 3, 0.3);
    logits[window > 0] = values_of(full_logits(model, s.ids, s.lengths));
  }
  expect_same_bits(logits[1], logits[0], "logits");
}

TEST(Mixture, LoadCountsEveryChoiceAndTheBiasMovesAgainstIt) {
  Backend& backend = get_backend("cpu");
  const auto model = tiny_model("mla", backend, DType::kF32);
  const Sequences s = random_sequences(3, {50}, 40);
  NoGrad off;
  Pass pass;
  pass.batch = make_batch(backend, s.ids, s.lengths);
  pass.count_load = true;
  pass.record_routing = true;
  model->hidden(pass);
  MoE& mixture = *model->mixtures()[0];
  std::vector<int64_t> want(8, 0);
  for (int32_t expert : pass.routings[0].to_host<int32_t>()) want[size_t(expert)]++;
  EXPECT_EQ(mixture.load(), want);
  const auto bias = std::find_if(model->parameters().begin(), model->parameters().end(), [](const Parameter& p) {
    return p.name == "model.layers.1.mlp.gate.e_score_correction_bias";
  });
  ASSERT_NE(bias, model->parameters().end());
  mixture.update_bias(0.25);
  const Values moved = values_of(bias->value());
  for (size_t e = 0; e < 8; e++) {
    const double mean = 50.0 * 3 / 8;
    EXPECT_EQ(moved[e], double(want[e]) < mean ? 0.25 : -0.25) << e;  // 18.75: nobody has just that
  }
  mixture.reset_load();
  EXPECT_EQ(mixture.load(), std::vector<int64_t>(8, 0));
}

TEST(Context, PositionsPastTheModelsAreRefused) {
  const auto model = tiny_model("gqa", get_backend("cpu"), DType::kF32);
  const Sequences s = random_sequences(3, {513}, 40);
  EXPECT_THROW(full_logits(*model, s.ids, s.lengths), Error);
}

}  // namespace
}  // namespace tenth::testing
