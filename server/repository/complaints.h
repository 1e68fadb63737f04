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
  // What it did not meet is over, and is told when it comes again. `only`: the models that it was a
  // look at; null: all.
  void EndLook(const std::set<std::string>* only) {
    std::erase_if(told_, [&](const auto& told) {
      const bool seen = only == nullptr || only->contains(told.first.second);
      return seen && !met_.contains(told.first);
    });
  }

  // Whether a message about something has not been told. `model` may be empty.
  bool IsNew(const std::string& event, const std::string& model, const std::string& message) {
    met_.insert({event, model});
    return std::exchange(told_[{event, model}], message) != message;
  }

 private:
  using About = std::pair<std::string, std::string>;  // event and model
  std::map<About, std::string> told_;
  std::set<About> met_;
};

}  // namespace pixpool
