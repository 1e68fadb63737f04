#include "server/pipeline/overload_control.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace pixpool {
namespace {

using std::chrono::milliseconds;

constexpr TimeDuration kSliceTime = milliseconds(250);
constexpr double kSliceSeconds = 0.25;
// How long after the last refusal the server counts as overloaded.
constexpr TimeDuration kCalm = std::chrono::seconds(3);
// Arrivals over departures that are no accident, in each of two seconds.
constexpr double kGrowth = 1.15;
// The estimate of a wait is a mean; half of the calls wait longer.
constexpr double kMargin = 1.25;
// A call that has less left may come too late whatever the load.
constexpr double kHardlyTime = 0.03;
constexpr double kNewestSlice = 0.3;
constexpr double kNewestSample = 0.03;

size_t Index(Priority priority) { return static_cast<size_t>(priority); }

int64_t SliceNumber(TimePoint now) { return now.time_since_epoch() / kSliceTime; }

}  // namespace

OverloadControl::OverloadControl(int threads)
    : in_service_(std::max(1, threads)), drain_rate_(std::max(1, threads)) {}

int OverloadControl::limit() const {
  // Enough that no thread ever waits for the next picture, however they come.
  return static_cast<int>(std::ceil(in_service_ + 2 + std::sqrt(in_service_)));
}

OverloadControl::InFlight OverloadControl::Ahead(const Call& call) const {
  const auto& callers = callers_[Index(call.priority)];
  const auto found = callers.find(call.caller);
  const InFlight own = found == callers.end() ? InFlight{} : found->second;
  // A call that has not been read has one image at least; nothing is known of its time, and the
  // usual one would be that of others' dear work.
  const int images = std::max(1, call.images);
  InFlight ahead = own;
  for (const auto& [caller, other] : callers) {
    if (caller == call.caller) continue;
    ahead.images += std::min(other.images, own.images + images);
    ahead.seconds += std::min(other.seconds, own.seconds + call.seconds);
  }
  if (call.priority == Priority::kBulk) {
    ahead.images += all_[Index(Priority::kInteractive)].images;
    ahead.seconds += all_[Index(Priority::kInteractive)].seconds;
  }
  return ahead;
}

double OverloadControl::ExpectedWait(const Call& call) const {
  const InFlight ahead = Ahead(call);
  const double by_seconds = ahead.seconds / drain_rate_;
  const int rate = worked_in_last_second();
  return rate > 0 ? std::min(by_seconds, static_cast<double>(ahead.images) / rate) : by_seconds;
}

int OverloadControl::worked_in_last_second() const {
  int worked = 0;
  for (int64_t back = 1; back <= 4 && back <= current_; ++back) {
    const Slice& slice = slices_[static_cast<size_t>((current_ - back) % kSlices)];
    if (slice.number == current_ - back) worked += slice.worked;
  }
  return worked;
}

OverloadControl::Verdict OverloadControl::Judge(TimePoint now, const Call& call) const {
  if (call.images == 0) return Verdict::kTake;  // nothing will be done
  const double wait = ExpectedWait(call);
  // Where nothing is ahead, the attempt is all there is.
  if (wait > 0 && kMargin * (wait + call.seconds / drain_rate_) > ToSeconds(call.left)) {
    return Verdict::kLate;
  }
  const bool takes_all = !overloaded(now) || probe_.is_open();
  if (call.priority == Priority::kBulk || takes_all) return Verdict::kTake;
  return Ahead(call).images < limit() ? Verdict::kTake : Verdict::kFull;
}

void OverloadControl::Taken(TimePoint now, const Call& call) {
  if (call.images == 0) return;  // nothing will be done
  const size_t p = Index(call.priority);
  for (InFlight* in_flight : {&callers_[p][call.caller], &all_[p]}) {
    in_flight->images += call.images;
    in_flight->seconds += call.seconds;
  }
  Slice& slice = SliceAt(now);
  if (call.priority != Priority::kInteractive) return;
  slice.come += call.images;
  CountForProbe(now, call.images);
}

void OverloadControl::Refused(TimePoint now, const Call& call, Verdict verdict) {
  Slice& slice = SliceAt(now);
  if (call.priority != Priority::kInteractive) return;
  // A call that has hardly time for its own work says nothing about the load.
  if (verdict == Verdict::kLate && ToSeconds(call.left) < std::max(4 * call.seconds, kHardlyTime)) {
    return;
  }
  slice.come += call.images;
  if (!overloaded(now)) return;
  Overloaded(now);
  probe_.Refused(now);
  probed_ = probed_ || probe_.is_open();
}

void OverloadControl::MetCeiling(TimePoint now) {
  Overloaded(now);
  probe_.Close(now);
}

void OverloadControl::Overloaded(TimePoint now) {
  if (!overloaded(now)) {
    probe_.Begin(now);
    probed_ = false;
  }
  overloaded_until_ = now + kCalm;
}

void OverloadControl::CountForProbe(TimePoint now, int images) {
  if (!probe_.Count(now, images)) return;
  overloaded_until_ = now;
  // What was refused has come again and again, and says nothing of what comes now.
  for (Slice& slice : slices_) slice.come = std::min(slice.come, slice.done);
}

void OverloadControl::Done(TimePoint now, Priority priority, const std::string& caller,
                           double seconds, bool worked, int waiting) {
  const size_t p = Index(priority);
  const int in_service = all_[0].images + all_[1].images - waiting;
  const auto own = callers_[p].find(caller);
  for (InFlight* in_flight : {&all_[p], own == callers_[p].end() ? nullptr : &own->second}) {
    if (in_flight == nullptr) continue;
    in_flight->images -= 1;
    in_flight->seconds = in_flight->images == 0 ? 0 : std::max(0.0, in_flight->seconds - seconds);
  }
  if (own != callers_[p].end() && own->second.images <= 0) callers_[p].erase(own);
  Slice& slice = SliceAt(now);
  if (priority == Priority::kInteractive) {
    slice.done += 1;
    CountForProbe(now, -1);
  }
  if (!probe_.is_open() && waiting <= limit()) probed_ = false;
  if (!worked) return;
  slice.worked += 1;
  slice.seconds += seconds;
  if (waiting == 0) {
    slice.saturated = false;
  } else {
    in_service_ += kNewestSample * (std::max(1, in_service) - in_service_);
  }
}

OverloadControl::Slice& OverloadControl::SliceAt(TimePoint now) {
  const int64_t number = std::max(SliceNumber(now), current_);
  Slice& slice = slices_[static_cast<size_t>(number % kSlices)];
  if (slice.number != number) {
    if (current_ >= 0 && number == current_ + 1) {
      Closed(slices_[static_cast<size_t>(current_ % kSlices)]);
    }
    slice = {.number = number};
    current_ = number;
    if (Grows(number)) Overloaded(now);
  }
  return slice;
}

void OverloadControl::Closed(const Slice& slice) {
  if (!slice.saturated || slice.seconds <= 0) return;
  // What took longer than a slice was not done in this one alone: no more is done in a second than
  // a second for each image in service.
  const double rate = std::min(slice.seconds / kSliceSeconds, in_service_);
  drain_rate_ += kNewestSlice * (rate - drain_rate_);
}

// Whether in each of the two seconds before `current` more came than left, while something waited
// all the time.
bool OverloadControl::Grows(int64_t current) const {
  std::array<int, 2> come{};
  std::array<int, 2> done{};
  for (int back = 1; back < kSlices; ++back) {
    const int64_t number = current - back;
    if (number < 0) return false;
    const Slice& slice = slices_[static_cast<size_t>(number % kSlices)];
    if (slice.number != number || !slice.saturated) return false;
    const size_t second = back <= kSlices / 2 ? 1 : 0;
    come[second] += slice.come;
    done[second] += slice.done;
  }
  const auto grew = [&](size_t second) { return come[second] > kGrowth * done[second]; };
  return grew(0) && grew(1) && all_[Index(Priority::kInteractive)].images > 2 * limit();
}

}  // namespace pixpool
