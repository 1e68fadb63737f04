// A shared library of the driver, looked for when the process runs. Internal to server/gpu.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace pixpool {

// It stays open to the end of the process: a call into it may hang.
class Library {
 public:
  // NOT_FOUND says why it cannot be opened.
  static absl::StatusOr<Library> Open(const std::string& name);

  // null where the library has no such function.
  template <typename Function>
  Function* Find(const char* function) const {
    return reinterpret_cast<Function*>(Symbol(function));
  }

  // As Find; NOT_FOUND names the library and what it lacks.
  template <typename Function>
  absl::StatusOr<Function*> Need(const char* function) const {
    Function* const found = Find<Function>(function);
    if (found == nullptr) return Lacks(function);
    return found;
  }

 private:
  Library(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}
  void* Symbol(const char* function) const;
  absl::Status Lacks(const char* function) const;

  std::string name_;
  void* handle_;
};

}  // namespace pixpool
