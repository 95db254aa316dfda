// What tasks that make up their problems have in common: the split into training and held-out problems, and (StepTask)
// teachers that write a solution step by step.
#pragma once
#include <string>
#include <vector>

#include "problems/options.h"
#include "problems/problem.h"

namespace tenth {

class DrawnTask : public Task {
 public:
  Problem draw(Rng& rng) const final { return draw_training(rng, false); }
  std::vector<Problem> held_out(int count) const final;
  std::vector<std::string> vocabulary() const final { return number_words(); }

 protected:
  // Any problem, held out or not. pretraining: for a document, where the range may be another.
  virtual Problem draw_any(Rng& rng, bool pretraining) const = 0;
  Problem draw_training(Rng& rng, bool pretraining) const;
};

// The poor teacher: with p_direct no thinking at all and the right answer; else the steps, each wrong with p_slip (a
// wrong step is carried on). Documents: p_equations loose lists of six clean steps from different problems; else one
// problem with its clean steps, p_chat of these as a chat with the poor teacher.
// (shared/peers/rlpilot: imperfect demonstrations of both kinds are what reinforcement has to choose from.)
class StepTask : public DrawnTask {
 public:
  std::string demonstration(const Problem& problem, Rng& rng) const final;
  Document document(Rng& rng) const final;

  struct Worked {
    std::vector<std::string> steps;
    std::string answer;
  };
  // The steps to the answer; p_slip 0 gives clean ones.
  virtual Worked work(const Problem& problem, double p_slip, Rng& rng) const = 0;

 protected:
  StepTask(OptionReader& options, char separator);
  // The question as plain text shows it before ":" and the steps.
  virtual std::string plain_question(const Problem& problem) const = 0;

 private:
  std::string joined(const std::vector<std::string>& steps, char separator) const;

  double p_direct_, p_slip_, p_equations_, p_chat_;
  char separator_;  // between steps
};

// One of the items, each as likely as the others.
template <class T>
const T& pick(const std::vector<T>& items, Rng& rng) {
  return items[rng.below(items.size())];
}

// All orders are equally likely (Fisher and Yates). std::shuffle is not the same on every library.
template <class T>
void shuffle(std::vector<T>& items, Rng& rng) {
  for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[rng.below(i)]);
}

std::unique_ptr<Task> make_chain_task(const TaskOptions& options);
std::unique_ptr<Task> make_gcd_task(const TaskOptions& options);
std::unique_ptr<Task> make_sort_task(const TaskOptions& options);
std::unique_ptr<Task> make_countdown_task(const TaskOptions& options);

}  // namespace tenth
