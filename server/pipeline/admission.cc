#include "server/pipeline/admission.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "server/base/number_text.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"

namespace pixpool {
namespace {

constexpr auto kIdleLook = std::chrono::milliseconds(5);

// What bulk requests may take of a ceiling, and one caller; a ceiling of few is for all.
int64_t BulkPart(int64_t ceiling) { return ceiling - ceiling / 4; }
int64_t CallerPart(int64_t ceiling) { return ceiling - ceiling / 16; }

absl::Duration Rounded(double seconds) {
  return absl::Milliseconds(absl::ToInt64Milliseconds(absl::Seconds(seconds)));
}

OverloadControl::Call MakeCall(const CallContext& call, TimePoint now, const AdmissionCost& cost) {
  return {.priority = call.priority(),
          .caller = call.caller(),
          .left = call.deadline() - now,
          .images = cost.images,
          .seconds = cost.seconds};
}

}  // namespace

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    cost_ = other.cost_;
    priority_ = other.priority_;
    caller_ = std::move(other.caller_);
  }
  return *this;
}

void Permit::Release() {
  if (Admission* owner = std::exchange(owner_, nullptr)) owner->Return(*this);
}

absl::Status Admission::Overloaded(ErrorDetails details, std::string_view why) {
  details.reason = ErrorReason::kOverloaded;
  const TimeDuration pause = advice_.Refused(clock_->Now(), overload_.worked_in_last_second());
  details.retry_after = Rounded(ToSeconds(pause));
  return MakeError(details,
                   Concat(why, "; try again in ", absl::FormatDuration(details.retry_after)));
}

absl::Status Admission::AtCeiling(std::string_view what, FlagNumber limit, std::string_view who) {
  return Overloaded(
      {.metadata = {{"limit", Concat(limit.value)}, {"flag", std::string(limit.flag)}}},
      Concat("the server holds as many ", what, " in flight as it may for ", who, " (", limit.flag,
             " ", limit.value, ")"));
}

absl::Status Admission::CheckTerms(const AdmissionCost& cost, const CallContext& call) {
  const CallerTerms* terms = call.terms();
  if (terms == nullptr || closed_) return absl::OkStatus();
  const TimePoint now = clock_->Now();
  const auto exceeded = [&](std::string_view what, std::string_view term, const std::string& most,
                            TimeDuration wait) {
    const absl::Duration pause = Rounded(ToSeconds(wait));
    return MakeError(
        {.reason = ErrorReason::kQuotaExceeded,
         .metadata = {{"token", terms->token}, {"limit", most}, {"term", std::string(term)}},
         .retry_after = pause},
        Concat("the token \"", terms->token, "\" ", what, " (", term, "=", most,
               " in the server's file of tokens); try again in ", absl::FormatDuration(pause)));
  };
  if (terms->requests) {
    const auto own = callers_.find(call.caller());
    if (own != callers_.end() && own->second.requests >= *terms->requests) {
      return exceeded("has as many requests in flight as it may", kRequestsTerm,
                      ShortestText(*terms->requests),
                      quota_advice_.Refused(now, overload_.worked_in_last_second()));
    }
  }
  if (terms->images_per_second) {
    const TimeDuration wait = rates_.Wait(now, *terms, cost.passes);
    if (wait > TimeDuration::zero()) {
      return exceeded("sends more images a second than it may", kImagesPerSecondTerm,
                      ShortestText(*terms->images_per_second), wait);
    }
  }
  return absl::OkStatus();
}

absl::Status Admission::CheckCeilings(const AdmissionCost& cost, const CallContext& call) {
  if (usage_.requests == 0) return absl::OkStatus();
  const auto found = callers_.find(call.caller());
  const Usage own = found == callers_.end() ? Usage{} : found->second;
  const bool is_bulk = call.priority() == Priority::kBulk;
  // Whose part of a ceiling is used up.
  const auto who_is_over = [&](int64_t Usage::*part, int64_t more, int64_t ceiling)
                               ABSL_SHARED_LOCKS_REQUIRED(mu_) -> std::optional<std::string_view> {
    if (more == 0) return std::nullopt;  // though others may have more than their part
    // Differences, so that no sum can overflow.
    if (more > ceiling - usage_.*part) return "all";
    if (is_bulk && bulk_.requests > 0 && more > BulkPart(ceiling) - bulk_.*part) {
      return "bulk work, three quarters of all";
    }
    if (own.requests > 0 && more > CallerPart(ceiling) - own.*part) {
      return "one caller, fifteen sixteenths of all";
    }
    return std::nullopt;
  };
  if (const auto who = who_is_over(&Usage::requests, 1, limits_.max_requests)) {
    if (!is_bulk) overload_.MetCeiling(clock_->Now());
    return AtCeiling("requests", limits_.max_requests, *who);
  }
  if (const auto who = who_is_over(&Usage::bytes, cost.bytes, limits_.max_bytes)) {
    return AtCeiling("bytes of images and answers", limits_.max_bytes, *who);
  }
  if (const auto who = who_is_over(&Usage::pixels, cost.pixels, limits_.max_pixels)) {
    return AtCeiling("pixels", limits_.max_pixels, *who);
  }
  return absl::OkStatus();
}

absl::Status Admission::Refusal(OverloadControl::Verdict verdict,
                                const OverloadControl::Call& call) {
  if (verdict == OverloadControl::Verdict::kFull) {
    return Overloaded({.metadata = {{"limit", Concat(overload_.limit())}}},
                      Concat("more pictures come than the server can work on, which is ",
                             overload_.limit(), " at a time"));
  }
  return Overloaded(
      {}, Concat("the answer would come too late: with work for ",
                 absl::FormatDuration(Rounded(overload_.ExpectedWait(call))),
                 " before it there is not enough time left for its own in the ",
                 absl::FormatDuration(Rounded(ToSeconds(call.left))), " to the deadline"));
}

absl::Status Admission::Judge(const OverloadControl::Call& call) {
  if (closed_) {
    return MakeError(ErrorReason::kDraining,
                     "the server is shutting down and takes no new requests; try another one");
  }
  const TimePoint now = clock_->Now();
  const OverloadControl::Verdict verdict = overload_.Judge(now, call);
  if (verdict == OverloadControl::Verdict::kTake) return absl::OkStatus();
  overload_.Refused(now, call, verdict);
  return Refusal(verdict, call);
}

absl::Status Admission::MayArrive(const CallContext& call) {
  absl::MutexLock lock(&mu_);
  const TimePoint now = clock_->Now();
  PIXPOOL_RETURN_IF_ERROR(CheckTerms({}, call));
  PIXPOOL_RETURN_IF_ERROR(Judge(MakeCall(call, now, {})));
  return CheckCeilings({}, call);
}

absl::StatusOr<Permit> Admission::Acquire(AdmissionCost cost, const CallContext& call) {
  cost.bytes = std::max<int64_t>(cost.bytes, 0);
  cost.pixels = std::max<int64_t>(cost.pixels, 0);
  absl::MutexLock lock(&mu_);
  const TimePoint now = clock_->Now();
  const OverloadControl::Call judged = MakeCall(call, now, cost);
  PIXPOOL_RETURN_IF_ERROR(CheckTerms(cost, call));
  PIXPOOL_RETURN_IF_ERROR(Judge(judged));
  PIXPOOL_RETURN_IF_ERROR(CheckCeilings(cost, call));
  // One that is over a ceiling by itself leaves others their sixteenth as well.
  cost.bytes = std::min(cost.bytes, CallerPart(limits_.max_bytes));
  cost.pixels = std::min(cost.pixels, CallerPart(limits_.max_pixels));
  // What may find no memory comes before what is counted.
  Usage& own = callers_[call.caller()];
  std::string caller = call.caller();
  if (call.terms() != nullptr && call.terms()->images_per_second) {
    rates_.Take(now, *call.terms(), cost.passes);
  }
  overload_.Taken(now, judged);
  for (Usage* usage : {&usage_, &own, call.priority() == Priority::kBulk ? &bulk_ : nullptr}) {
    if (usage == nullptr) continue;
    usage->requests += 1;
    usage->bytes += cost.bytes;
    usage->pixels += cost.pixels;
  }
  return Permit(this, cost, call.priority(), std::move(caller));
}

void Admission::TakeOver(Permit* permit, const AdmissionCost& work, const CallContext& call) {
  absl::MutexLock lock(&mu_);
  const TimePoint now = clock_->Now();
  overload_.Taken(now, MakeCall(call, now, work));
  const auto own = callers_.find(permit->caller_);
  for (Usage* usage : {&usage_, own == callers_.end() ? nullptr : &own->second,
                       permit->priority_ == Priority::kBulk ? &bulk_ : nullptr}) {
    if (usage != nullptr) usage->pixels += work.pixels;
  }
  permit->cost_.pixels += work.pixels;
}

absl::StatusOr<ByteHold> Admission::Hold(HeldBytes* held, int64_t bytes, std::string_view what) {
  ByteHold hold;
  if (held->Take(bytes, &hold)) return hold;
  absl::MutexLock lock(&mu_);
  return AtCeiling(what, limits_.max_bytes, "all");
}

absl::StatusOr<ByteHold> Admission::HoldMessage(int64_t bytes) {
  return Hold(&reading_, bytes, "bytes of messages that are being read");
}

absl::StatusOr<ByteHold> Admission::HoldKept(int64_t bytes) {
  return Hold(&kept_, bytes, "bytes of settings and unread answers");
}

void Admission::Done(const CallContext& call, double seconds, bool worked, int waiting) {
  absl::MutexLock lock(&mu_);
  overload_.Done(clock_->Now(), call.priority(), call.caller(), seconds, worked, waiting);
}

void Admission::SetMost(int64_t max_bytes, int64_t max_pixels) {
  absl::MutexLock lock(&mu_);
  limits_.max_bytes = std::min(options_.max_bytes.value(), max_bytes);
  limits_.max_pixels = std::min(options_.max_pixels.value(), max_pixels);
  reading_.SetMost(ReadingPart(limits_.max_bytes));
  kept_.SetMost(KeptPart(limits_.max_bytes));
}

AdmissionLimits Admission::limits() const {
  absl::MutexLock lock(&mu_);
  return limits_;
}

void Admission::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
}

bool Admission::WaitUntilIdle(absl::Duration timeout) {
  // By the steady clock: absl waits by the wall clock, which may jump.
  const auto end = std::chrono::steady_clock::now() +
                   absl::ToChronoNanoseconds(std::min(timeout, absl::Hours(24)));
  while (usage().requests > 0) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kIdleLook);
  }
  return true;
}

Admission::Usage Admission::usage() const {
  absl::MutexLock lock(&mu_);
  return usage_;
}

bool Admission::overloaded() const {
  absl::MutexLock lock(&mu_);
  return overload_.overloaded(clock_->Now());
}

bool Admission::has_backlog(int waiting) const {
  absl::MutexLock lock(&mu_);
  return overload_.has_backlog(clock_->Now(), waiting);
}

int Admission::image_limit() const {
  absl::MutexLock lock(&mu_);
  return overload_.limit();
}

void Admission::Return(const Permit& permit) {
  absl::MutexLock lock(&mu_);
  const auto own = callers_.find(permit.caller_);
  for (Usage* usage : {&usage_, own == callers_.end() ? nullptr : &own->second,
                       permit.priority_ == Priority::kBulk ? &bulk_ : nullptr}) {
    if (usage == nullptr) continue;
    usage->requests -= 1;
    usage->bytes -= permit.cost_.bytes;
    usage->pixels -= permit.cost_.pixels;
  }
  if (own != callers_.end() && own->second.requests == 0) callers_.erase(own);
}

}  // namespace pixpool
