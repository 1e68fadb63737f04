#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "server/base/clock.h"
#include "server/base/enum_names.h"

namespace pixpool {

// Who waits for an answer: a person, or a job. Interactive work goes before bulk work.
enum class Priority { kInteractive, kBulk };
constexpr std::string_view PriorityName(Priority priority) {
  switch (priority) {
    case Priority::kInteractive:
      return "interactive";
    case Priority::kBulk:
      return "bulk";
  }
  return {};
}
inline constexpr int kPriorityCount = NamedCount(PriorityName);

// The names of a caller's terms, as the file of tokens and errors have them.
inline constexpr char kRequestsTerm[] = "requests";
inline constexpr char kImagesPerSecondTerm[] = "images-per-second";

// What one caller may have at most, where its token says so.
struct CallerTerms {
  bool operator==(const CallerTerms&) const = default;

  std::string token;                        // its name
  bool bulk_only = false;                   // all its work is bulk, whatever its calls say
  std::optional<int64_t> requests;          // in flight at a time, 1 or more
  std::optional<double> images_per_second;  // above 0; a second's worth may come at once
};

// The name of a token; `terms` may be null: there is none.
inline std::string_view TokenOf(const CallerTerms* terms) {
  return terms != nullptr ? std::string_view(terms->token) : std::string_view();
}

// The priority of a call that asks for `asked`; `terms` may be null.
inline Priority AllowedPriority(const CallerTerms* terms, Priority asked) {
  return terms != nullptr && terms->bulk_only ? Priority::kBulk : asked;
}

// What the pipeline knows of the call behind a piece of work: when it stops being worth doing, how
// urgent it is, and whose it is.
//
// Thread-safe. Shared between the RPC layer, which may cancel, and the pipeline's stages, which ask
// before they start something expensive.
class CallContext {
 public:
  // `caller` names those who share what the server gives to one: an address without its port, or an
  // identity. `terms` are null where it has what all have.
  explicit CallContext(TimePoint deadline, Priority priority = Priority::kInteractive,
                       std::string caller = "", std::shared_ptr<const CallerTerms> terms = nullptr)
      : deadline_(deadline),
        caller_(std::move(caller)),
        terms_(std::move(terms)),
        priority_(AllowedPriority(terms_.get(), priority)) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
  TimePoint deadline() const { return deadline_; }
  const std::string& caller() const { return caller_; }
  const CallerTerms* terms() const { return terms_.get(); }
  // The name of its token; empty where it has none.
  std::string_view token() const { return TokenOf(terms_.get()); }

  // A request may say its priority itself, which is known later than its metadata; it has what its
  // terms allow. Only before the call is handed to the pipeline.
  void set_priority(Priority priority) { priority_ = AllowedPriority(terms_.get(), priority); }
  Priority priority() const { return priority_; }

  // Whether the work is not worth doing any more. Takes no memory.
  bool Over(TimePoint now) const { return now >= deadline_ || cancelled(); }

  // OK while the work is worth doing, else CANCELLED or DEADLINE_EXCEEDED. `stage` is named in the
  // message: "decode", "batch" or "backbone".
  absl::Status Check(TimePoint now, const char* stage) const;

 private:
  const TimePoint deadline_;
  const std::string caller_;
  const std::shared_ptr<const CallerTerms> terms_;
  Priority priority_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace pixpool
