// How much work may be in flight, found by measuring. Internal to server/pipeline.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "server/base/call_context.h"
#include "server/base/clock.h"
#include "server/pipeline/overload_probe.h"

namespace pixpool {

// Decides whether one more call would be answered soon enough to be worth taking.
//
// A closed loop of callers that wait for their answers makes a queue that stands but does not grow:
// all of it is served. Callers who come whatever the server does, and faster than it serves, make
// one that grows until every answer is late. The difference is seen in the rates: while
// interactive images come faster than they leave, for two seconds or until a fixed ceiling is met,
// the server is overloaded. From then until nothing had to be refused for some seconds, only as
// many interactive images are taken as keep its threads busy, so that what is taken is answered at
// once (after Netflix's concurrency-limits and Uber's Cinnamon; the number in service is measured
// and not inferred from latencies). Bulk work is not refused for that: it waits, and gives way.
// From time to time OverloadProbe sees whether those who are refused would wait for their answers.
//
// Whatever the state, a call whose deadline comes before the work that is ahead of it can be done
// is refused on arrival.
//
// What is ahead of a call is what WorkQueue puts there: all that its caller has in flight in its
// class, and of each other caller no more than what the caller has then. Both rules go by that, so
// a caller's backlog keeps nobody else away.
//
// Not thread-safe: Admission's lock guards it. Time is a parameter.
class OverloadControl {
 public:
  // `threads` is how many pictures can be worked on at once, until it is measured.
  explicit OverloadControl(int threads);

  struct Call {
    Priority priority = Priority::kInteractive;
    const std::string& caller;
    TimeDuration left{};  // until its deadline
    int images = 1;
    double seconds = 0;  // predicted work of all its images on one thread
  };
  enum class Verdict {
    kTake,
    kFull,  // overloaded, and the caller has its share
    kLate   // the deadline comes first
  };

  // What is to become of a call that has come. Without effect.
  Verdict Judge(TimePoint now, const Call& call) const;

  // The call was taken, or refused with the verdict.
  void Taken(TimePoint now, const Call& call);
  void Refused(TimePoint now, const Call& call, Verdict verdict);
  // It was refused because a fixed number of requests is in flight.
  void MetCeiling(TimePoint now);

  // One image of a call that was taken has left the pipeline; `seconds` as predicted. `worked` is
  // false for what was dropped. `waiting` are the images that no thread has begun.
  void Done(TimePoint now, Priority priority, const std::string& caller, double seconds,
            bool worked, int waiting);

  bool overloaded(TimePoint now) const { return now < overloaded_until_; }
  // Whether so many images that wait are a backlog from before the overload was noticed.
  bool has_backlog(TimePoint now, int waiting) const {
    return waiting > limit() && overloaded(now) && !probed_;
  }
  // Interactive images that are taken while overloaded.
  int limit() const;
  // How long a call would wait before its own work begins, by the predicted seconds of what is
  // ahead or by its number and the last second's rate: the shorter, since a prediction may be off
  // for kinds of pictures that were not seen yet, and refusing on a guess is worse than a late
  // answer.
  double ExpectedWait(const Call& call) const;
  // Images of all classes that were worked on.
  int worked_in_last_second() const;

 private:
  // A quarter of a second; eight make up what is looked back at.
  struct Slice {
    int64_t number = -1;
    int come = 0;  // interactive images
    int done = 0;
    int worked = 0;         // images of all classes
    double seconds = 0;     // of work, of all classes
    bool saturated = true;  // something waited at each end of work
  };
  static constexpr int kSlices = 9;  // one of them under way

  void Overloaded(TimePoint now);
  // Counts interactive images that were taken, or have left.
  void CountForProbe(TimePoint now, int images);
  Slice& SliceAt(TimePoint now);
  void Closed(const Slice& slice);
  bool Grows(int64_t current) const;

  // What a caller has in flight in one class.
  struct InFlight {
    int images = 0;
    double seconds = 0;
  };
  // What goes before a call.
  InFlight Ahead(const Call& call) const;

  std::array<Slice, kSlices> slices_;
  int64_t current_ = -1;  // number of the slice under way

  std::array<InFlight, 2> all_;  // by priority
  // Those who have images in flight. absl's tables do not survive a failed allocation.
  std::array<std::map<std::string, InFlight>, 2> callers_;
  double in_service_;  // images that threads work on while others wait, averaged
  double drain_rate_;  // seconds of work done in a second while others wait
  TimePoint overloaded_until_{};
  OverloadProbe probe_;
  bool probed_ = false;  // what waits was let in by the probe; each of it in its turn
};

}  // namespace pixpool
