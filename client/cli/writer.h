// Where results go, whatever the format.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::cli {

// What became of one picture of the command line.
struct ImageOutcome {
  size_t index = 0;  // position among the pictures, from 0
  std::string path;
  absl::Status status;  // why there are no features; OK where there are
  // Whether the whole call failed, not just this picture.
  bool call_failed = false;
  // Where the status is OK, client::DecodeValues reads every result.
  v1::Features features;
  v1::ModelReference model;
};

// Whether one of a picture's warnings is about how it was asked for, and so names an option. Such a
// one is the same for every picture that it concerns, and is for the whole run.
inline bool NamesAnOption(std::string_view warning) {
  return warning.find("--background") != std::string_view::npos;
}

// Implementations are not thread-safe; all calls come from one thread.
class Writer {
 public:
  virtual ~Writer() = default;

  // Called once per picture, in the order of the command line. An error ends the run.
  virtual absl::Status Add(const ImageOutcome& outcome) = 0;

  // Called once, after the last Add, unless an Add failed.
  virtual absl::Status Finish() = 0;

  // After Finish: what the user should know of the output, or "".
  virtual std::string Note() const { return ""; }
};

}  // namespace pixpool::cli
