#include "server/pipeline/overload_probe.h"

#include <algorithm>
#include <chrono>

namespace pixpool {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// With patience 1.
constexpr TimeDuration kPause = seconds(10);
constexpr TimeDuration kSettles = milliseconds(10);
// With the most patience: callers who wait as they are told need that long to come back.
constexpr TimeDuration kMostSettles = milliseconds(320);
constexpr int kMostPatience = 8;
// How long no more may come than leave. At 1.2 times the peak of two cores, some 35 more come.
constexpr TimeDuration kWatched = seconds(1);
// More that came than left, and are no accident.
constexpr int kMore = 4;
// Callers that are let in at once. They wait some tenths of a second in vain where it is an
// overload.
constexpr int kMostAtOnce = 64;
// An overload that begins so long after the last refusal is another one.
constexpr TimeDuration kForgotten = seconds(60);

}  // namespace

void OverloadProbe::Begin(TimePoint now) {
  if (now - last_ > kForgotten) patience_ = 1;
  is_open_ = false;
  next_ = now + patience_ * kPause;
}

void OverloadProbe::Refused(TimePoint now) {
  last_ = now;
  if (is_open_) return Close(now);
  if (now < next_) return;
  is_open_ = true;
  settled_ = now + (patience_ == kMostPatience ? kMostSettles : patience_ * kSettles);
  at_once_ = more_ = 0;
  largest_ = 1;
}

bool OverloadProbe::Count(TimePoint now, int images) {
  if (!is_open_) return false;
  largest_ = std::max(largest_, images);
  if (now < settled_) {
    at_once_ += images;
    if (at_once_ >= kMostAtOnce) Close(now);
    return false;
  }
  more_ += images;
  // A request of many images comes at once, and leaves one by one.
  if (more_ >= kMore + largest_ - 1) Close(now);
  if (!is_open_ || now < settled_ + kWatched) return false;
  is_open_ = false;
  patience_ = 1;
  return true;
}

void OverloadProbe::Close(TimePoint now) {
  if (!is_open_) return;
  is_open_ = false;
  patience_ = std::min(2 * patience_, kMostPatience);
  next_ = now + patience_ * kPause;
}

}  // namespace pixpool
