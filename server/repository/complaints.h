// Problems that are in the log once, however often they are met. Internal to server/repository.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

namespace pixpool {

// Not thread-safe.
class Complaints {
 public:
  // A look at all there is begins. `anew`: what it meets is told though it was told before.
  void BeginLook(bool anew) {
    if (anew) told_.clear();
    met_.clear();
  }
  // What it did not meet is over, and is told when it comes again.
  void EndLook() {
    std::erase_if(told_, [this](const auto& told) { return !met_.contains(told.first); });
  }

  // Whether a message about something has not been told.
  bool IsNew(const std::string& about, const std::string& message) {
    met_.insert(about);
    return std::exchange(told_[about], message) != message;
  }

 private:
  std::map<std::string, std::string> told_;
  std::set<std::string> met_;
};

}  // namespace pixpool
