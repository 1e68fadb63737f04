// Sends pictures to the server and hands the results to a writer, in order.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cli/exit_code.h"
#include "client/cli/progress.h"
#include "client/cli/writer.h"
#include "client/cpp/client.h"

namespace pixpool::cli {

// Whether an outcome ends the run, because every further picture would fail alike; overload passes,
// and time may suffice for the next picture.
bool EndsRun(const ImageOutcome& outcome);

struct Job {
  std::vector<std::string> paths;
  v1::StreamConfig config;          // model, heads, options of all pictures
  std::vector<v1::Region> regions;  // of every picture
  // Pictures under way at once, at least 1.
  int concurrency = 4;
  // One StreamFeatures call in place of one ExtractFeatures call a picture.
  bool stream = false;
  // For one picture; a stream gets as much as all its pictures together.
  absl::Duration timeout = absl::Seconds(10);
};

struct Summary {
  size_t total = 0;
  size_t done = 0;    // pictures with an outcome
  size_t failed = 0;  // of these, those without features
  // Why the run stopped early: an error that every further picture would meet too (server gone,
  // request refused).
  absl::Status fatal;
  // Why the results could not be written.
  absl::Status output;
  ExitCode exit_code = kExitOk;
};

// Blocks until all is done. The writer is called from this thread only; Finish is called unless an
// Add failed.
Summary Run(const client::Client& client, const Job& job, Writer& writer, Progress& progress);

}  // namespace pixpool::cli
