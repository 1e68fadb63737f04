// A progress line on a terminal.
#pragma once

#include <cstddef>
#include <ostream>

#include "absl/time/time.h"
#include "client/cpp/timer.h"

namespace pixpool::cli {

// Draws "[#####-----]  12/100  35.2 images/s  1 failed" over itself, at most ten times a second.
// Draws nothing unless enabled, which is meant for terminals only. Not thread-safe. The destructor
// wipes the line.
class Progress {
 public:
  // `out` and `timer` are not owned and must outlive this object.
  Progress(std::ostream& out, bool enabled, size_t total, client::Timer* timer);
  ~Progress() { Clear(); }

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(size_t done, size_t failed);
  // Wipes the line, so that something else can be written; the next Update draws it again.
  void Clear();

 private:
  std::ostream& out_;
  const bool enabled_;
  const size_t total_;
  client::Timer* const timer_;
  const absl::Time start_;
  absl::Time last_drawn_ = absl::InfinitePast();
  bool visible_ = false;
};

}  // namespace pixpool::cli
