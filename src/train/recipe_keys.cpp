// The table of recipe keys. To add a key: one line here, one getter where it is used.
// The defaults of model.*, train.*, optim.*, sft.* and rl.* are those of the chained sums (recipes/demo.toml).
#include "train/recipe.h"

namespace tenth {
namespace {

RecipeKey integer(std::string name, int64_t fallback, std::string unit, int64_t low, int64_t high,
                  std::string meaning) {
  return {std::move(name), fallback, std::move(unit), double(low), double(high), {}, std::move(meaning)};
}

RecipeKey real(std::string name, double fallback, std::string unit, double low, double high, std::string meaning) {
  return {std::move(name), fallback, std::move(unit), low, high, {}, std::move(meaning)};
}

RecipeKey flag(std::string name, bool fallback, std::string meaning) {
  return {std::move(name), fallback, "", 0, 0, {}, std::move(meaning)};
}

RecipeKey choice(std::string name, std::string fallback, std::vector<std::string> choices, std::string meaning) {
  return {std::move(name), std::move(fallback), "", 0, 0, std::move(choices), std::move(meaning)};
}

RecipeKey text(std::string name, std::string fallback, std::string meaning) {
  return choice(std::move(name), std::move(fallback), {}, std::move(meaning));
}

RecipeKey skip_steps(const std::string& stage) {
  return text(stage + ".skip_steps", "", "steps to leave out, counted from 1: \"57,120-130\"; may change on --resume");
}

RecipeKey list(std::string name, std::string meaning) {
  return {std::move(name), std::vector<std::string>(), "", 0, 0, {}, std::move(meaning)};
}

const std::vector<std::string> kSchedules = {"constant", "linear", "cosine", "wsd"};
const std::vector<std::string> kOptimizers = {"muon", "adamw"};
constexpr int64_t kMostSteps = 100'000'000;

// What a supervised stage has: in [stage], and its optimizer's in [optim], which is the same section for SFT.
struct SupervisedDefaults {
  int64_t steps, batch_tokens, warmup_steps;
  std::string schedule;
  double min_lr_share;
};
std::vector<RecipeKey> supervised_keys(const std::string& stage, const std::string& optim,
                                       const SupervisedDefaults& defaults) {
  // clang-format off
  return {
      integer(stage + ".steps", defaults.steps, "steps", 0, kMostSteps, "optimizer steps; 0: leave this stage out"),
      integer(stage + ".batch_tokens", defaults.batch_tokens, "tokens", 1, 1 << 30, "tokens of a batch, padding included"),
      integer(stage + ".accumulate", 1, "batches", 1, 65536, "batches whose gradients make one step"),
      flag(stage + ".recompute", false, "norms, MLA up-projections and SwiGLU again in the backward pass: less memory, same bits"),
      integer(stage + ".batch_ramp_steps", 0, "steps", 0, kMostSteps, "steps over which accumulate rises from batch_ramp_from to its value"),
      real(stage + ".batch_ramp_from", 0.25, "", 0, 1, "share of accumulate at the first step of the ramp"),
      real(stage + ".mtp_weight", 0.3, "", 0, 100, "weight of the MTP loss"),
      real(stage + ".mtp_weight_final", 0.1, "", 0, 100, "weight of the MTP loss after mtp_switch"),
      real(stage + ".mtp_switch", 1, "", 0, 1, "share of the steps before mtp_weight_final; V3: about 0.68"),
      real(stage + ".z_loss", 0, "", 0, 100, "weight of the mean square of the logits' log-sum-exp; PaLM: 1e-4"),
      real(stage + ".ema_decay", 0, "", 0, 0.9999999, "of the mean of the weights that the stage ends with; 0: none"),
      real(stage + ".balance_loss", 1e-4, "", 0, 100, "weight of the sequence-wise balance loss"),
      real(stage + ".bias_update_rate", 1e-3, "", 0, 1, "step of the router biases against overload"),
      real(stage + ".bias_update_until", 1, "", 0, 1, "share of the steps after which router biases rest; V3: 0.966"),
      real(stage + ".spike_factor", 1000, "", 0, 1e9, "stop at a gradient norm of so many times its median; 0: never"),
      skip_steps(stage),
      choice(optim + ".optimizer", "muon", kOptimizers, "for matrices; embedding, head, norms and gates take AdamW"),
      real(optim + ".lr", 0.02, "", 0, 10, "peak learning rate of the matrices"),
      real(optim + ".adam_lr", 8e-3, "", 0, 10, "peak learning rate of what AdamW moves beside Muon"),
      integer(optim + ".warmup_steps", defaults.warmup_steps, "steps", 0, kMostSteps, "linear rise of the learning rates"),
      choice(optim + ".schedule", defaults.schedule, kSchedules, "learning rate after the rise"),
      real(optim + ".decay_share", 0.2, "", 0, 1, "share of the steps in which wsd falls"),
      real(optim + ".min_lr_share", defaults.min_lr_share, "", 0, 1, "learning rate at the end, as a share of the peak"),
      choice(optim + ".decay_shape", "linear", {"linear", "cosine", "one_minus_sqrt"}, "how wsd falls"),
      choice(optim + ".muon_variant", "keller", {"keller", "v4", "polar_express"}, "polynomials of Newton-Schulz: 5, 8 + 2, or 5 fitted steps"),
      choice(optim + ".muon_dtype", "bf16", {"f32", "bf16"}, "type of Newton-Schulz' products"),
      flag(optim + ".normuon", false, "Muon's updates divided by the root of their rows' second moments"),
      flag(optim + ".cautious_decay", false, "decay only the weights that the update shrinks too"),
      real(optim + ".weight_decay", 0, "", 0, 100, "decoupled decay of the matrices, times the learning rate"),
      real(optim + ".clip", 1.0, "", 0, 1e9, "largest global gradient norm; 0: no clipping"),
  };
  // clang-format on
}

std::vector<RecipeKey> own_keys() {
  // clang-format off
  return {
      // The names of config.json of deepseek_v3; the meanings are those of the DeepSeek-V2 and V3 reports.
      choice("model.architecture", "deepseek_v3", {"deepseek_v3", "llama", "qwen3"},
             "llama: dense, grouped-query attention; qwen3: the same, each head's q and k normed"),
      integer("model.hidden_size", 128, "", 1, 65536, "width of the residual stream"),
      integer("model.num_hidden_layers", 4, "layers", 1, 1024, "blocks, without MTP modules"),
      integer("model.num_attention_heads", 4, "heads", 1, 1024, "attention heads"),
      integer("model.num_key_value_heads", 0, "heads", 0, 1024, "llama, qwen3: heads of keys and values; 0: as many as of queries"),
      integer("model.head_dim", 0, "", 0, 4096, "llama, qwen3: width of a head; 0: hidden_size / num_attention_heads"),
      integer("model.q_lora_rank", 0, "", 0, 65536, "width of the query latent; 0: queries straight from the stream"),
      integer("model.kv_lora_rank", 64, "", 1, 65536, "width of the key-value latent, which the cache holds"),
      integer("model.qk_nope_head_dim", 32, "", 1, 4096, "part of a query and key head without position"),
      integer("model.qk_rope_head_dim", 16, "", 2, 4096, "rotated part of a query and key head; even"),
      integer("model.v_head_dim", 32, "", 1, 4096, "width of a value head"),
      integer("model.intermediate_size", 384, "", 1, 1048576, "width of the dense MLPs"),
      integer("model.moe_intermediate_size", 96, "", 1, 1048576, "width of one expert"),
      integer("model.n_routed_experts", 16, "experts", 1, 4096, "routed experts a layer"),
      integer("model.n_shared_experts", 1, "experts", 0, 64, "experts that every token visits"),
      integer("model.num_experts_per_tok", 2, "experts", 1, 4096, "routed experts that a token visits"),
      integer("model.n_group", 1, "groups", 1, 4096, "groups of routed experts"),
      integer("model.topk_group", 1, "groups", 1, 4096, "groups that a token may choose from"),
      integer("model.first_k_dense_replace", 1, "layers", 0, 1024, "first layers with a dense MLP in place of experts"),
      real("model.routed_scaling_factor", 1.0, "", 0, 100, "factor on the sum of the routed experts"),
      flag("model.norm_topk_prob", true, "weights of the chosen experts sum to one"),
      integer("model.num_nextn_predict_layers", 1, "layers", 0, 1, "multi-token prediction (MTP) modules"),
      integer("model.max_position_embeddings", 256, "tokens", 1, 16777216, "longest sequence"),
      real("model.rope_theta", 10000, "", 1, 1e12, "base of the rotary frequencies"),
      real("model.rms_norm_eps", 1e-6, "", 1e-12, 0.1, "added to the mean square in RMSNorm"),
      real("model.initializer_range", 0.02, "", 0, 10, "standard deviation of initial matrices"),
      real("model.embedding_init", 0.5, "", 0, 10, "standard deviation of the initial embedding"),
      flag("model.tie_word_embeddings", false, "the output head is the embedding"),

      text("task.name", "chain", "problems to learn; further keys task.NAME are numbers for the task"),
      text("task.file", "", "problems from a JSONL file (question, answer), for task.name = \"jsonl\""),

      list("data.path", "folders that `tenth data prepare` wrote, to train on in place of a task"),
      list("data.files", "text files (.txt, .jsonl, .jsonl.zst) that are prepared into data.path where they are not yet"),
      integer("data.vocab_size", 8192, "tokens", 300, 1 << 20, "of the tokenizer that is trained on data.files"),
      text("data.validation", "", "folder like data.path, for bits per byte on text that is not trained on"),
      list("data.validation_files", "text files that are prepared into data.validation"),
      integer("data.validation_rows", 128, "rows", 1, 1 << 30, "that are scored while training; at the end all are"),
      list("data.conversations", "JSONL files of {\"messages\": [...]} to fine-tune on, in place of data.path"),
      list("data.weights", "shares of the folders of data.path, numbers; empty: as much as each has"),
      integer("data.context", 1024, "tokens", 2, 1 << 24, "longest sequence; documents are packed into rows of so many"),

      integer("run.seed", 1, "", 0, int64_t(1) << 53, "seed of weights, data, samples and held-out problems"),
      choice("run.dtype", "f32", {"f32", "bf16", "fp8"}, "type of the arithmetic; master weights are f32; fp8: emulated, bf16 around it"),
      choice("run.fp8_scales", "ue8m0", {"f32", "ue8m0"}, "scales of FP8 tiles: any f32 (V3), or powers of two (V3.1)"),
      text("run.start_from", "", "model folder to start from, in place of random weights of model.*"),
      integer("run.threads", 0, "threads", 0, 4096, "cores to use; 0: all"),
      integer("run.eval_problems", 500, "problems", 1, 1000000, "held-out problems of the evaluation before and after"),
      integer("run.samples_shown", 6, "answers", 0, 100, "transcripts before and after, right and wrong ones"),

      integer("rl.steps", 50, "steps", 0, kMostSteps, "rollouts, each with its updates; 0: leave this stage out"),
      integer("rl.prompts", 32, "problems", 1, 65536, "problems of a rollout"),
      integer("rl.samples", 8, "answers", 2, 4096, "answers to each problem: the group"),
      real("rl.temperature", 1.0, "", 1e-3, 100, "of the rollouts; the policy of the loss has the same"),
      integer("rl.max_new_tokens", 72, "tokens", 1, 1 << 24, "longest answer; what is longer is cut and wrong"),
      choice("rl.optimizer", "adamw", kOptimizers, "for matrices; embedding, head, norms and gates take AdamW"),
      real("rl.lr", 5e-4, "", 0, 10, "peak learning rate"),
      real("rl.adam_lr", 5e-4, "", 0, 10, "peak learning rate of what AdamW moves beside Muon"),
      integer("rl.warmup_steps", 3, "steps", 0, kMostSteps, "linear rise of the learning rate"),
      choice("rl.schedule", "constant", kSchedules, "learning rate after the rise"),
      real("rl.clip", 1.0, "", 0, 1e9, "largest global gradient norm; 0: no clipping"),
      choice("rl.variant", "grpo", {"grpo", "dr_grpo", "dapo", "gspo"}, "loss of the GRPO family"),
      real("rl.clip_low", 0, "", 0, 1, "lower clip of the probability ratio: 1 - this; 0: the variant's own"),
      real("rl.clip_high", 0, "", 0, 100, "upper clip of the probability ratio: 1 + this; 0: the variant's own"),
      real("rl.kl", 0, "", 0, 100, "weight of the KL to the model that RL starts from; 0: none"),
      integer("rl.updates", 1, "updates", 1, 1024, "optimizer steps on one rollout"),
      flag("rl.normalize_std", true, "advantages divided by the group's standard deviation"),
      flag("rl.dynamic_sampling", false, "draw further problems in place of groups whose rewards are all equal"),
      flag("rl.routing_replay", true, "the trainer takes the experts that the sampler chose"),
      real("rl.spike_factor", 0, "", 0, 1e9, "stop at a gradient norm of so many times its median; 0: never"),
      skip_steps("rl"),
      integer("rl.eval_every", 10, "steps", 0, kMostSteps, "steps between held-out evaluations; 0: only at the end"),

      integer("checkpoint.every", 0, "steps", 0, kMostSteps,
              "most steps that a kill may cost: a state is saved at each half of them; 0: at the end of a stage"),
      integer("checkpoint.keep", 2, "states", 1, 1000000, "the last so many stay while the run goes on"),
      integer("checkpoint.keep_every", 0, "steps", 0, kMostSteps, "states at multiples of this stay for good; 0: none"),
  };
  // clang-format on
}

std::vector<RecipeKey> make_keys() {
  std::vector<RecipeKey> keys = own_keys();
  const auto add = [&](const std::vector<RecipeKey>& more) { keys.insert(keys.end(), more.begin(), more.end()); };
  keys.push_back(integer("train.eval_every", 100, "steps", 0, kMostSteps,
                         "steps between scores of validation text; 0: at the end"));
  keys.push_back(integer("train.context_warmup_steps", 0, "steps", 0, kMostSteps,
                         "steps over which sequences grow to data.context; the tokens of a step stay as many"));
  keys.push_back(
      integer("train.context_warmup_from", 64, "tokens", 2, 1 << 24, "longest sequence at the first step of it"));
  add(supervised_keys("train", "optim", {800, 1536, 20, "wsd", 0.1}));
  add(supervised_keys("sft", "sft", {90, 3072, 0, "linear", 0}));
  return keys;
}

}  // namespace

const std::vector<RecipeKey>& recipe_keys() {
  static const std::vector<RecipeKey> keys = make_keys();
  return keys;
}

}  // namespace tenth
