// Whether an overload is one still. Internal to server/pipeline.
#pragma once

#include "server/base/clock.h"

namespace pixpool {

// Callers who wait for their answers, and come back at once when they are refused, look like an
// overload without end: hardly any of them are taken, and the others' refusals take the cores. All
// of them would be answered if they were taken. So from time to time, while calls are refused, all
// are taken for a moment. Callers who wait are in then, and no more come than leave. Where more
// still come, it ends at once, and so few have waited that nobody else notices. A crowd of more
// than some sixty of them is not told from an overload.
//
// Not thread-safe: Admission's lock guards it. Time is a parameter.
class OverloadProbe {
 public:
  // An overload begins.
  void Begin(TimePoint now);

  // A call was refused for it: may open. While it is open, for its deadline: closes.
  void Refused(TimePoint now);

  // Whether every call is to be taken.
  bool is_open() const { return is_open_; }

  // Interactive images that were taken (above 0), or have left. True where the overload is none:
  // it has closed then.
  bool Count(TimePoint now, int images);

  // More came than can be held.
  void Close(TimePoint now);

 private:
  bool is_open_ = false;
  // Grows with each time in vain: pauses become longer, and so does the time that callers have to
  // come back in, who may be far away.
  int patience_ = 1;
  TimePoint last_{};     // refusal
  TimePoint next_{};     // time that it may open
  TimePoint settled_{};  // when those who wait for an answer have come
  int largest_ = 1;      // images that came at once since it opened
  int at_once_ = 0;      // more images that came than left before it settled
  int more_ = 0;         // and since
};

}  // namespace pixpool
