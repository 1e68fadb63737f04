#include "server/gpu/library.h"

#include <dlfcn.h>

#include "server/base/text.h"

namespace pixpool {

absl::StatusOr<Library> Library::Open(const std::string& name) {
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle != nullptr) return Library(name, handle);
  const char* const why = dlerror();
  return absl::NotFoundError(Concat("cannot open ", why != nullptr ? why : name));
}

void* Library::Symbol(const char* function) const { return dlsym(handle_, function); }

absl::Status Library::Lacks(const char* function) const {
  return absl::NotFoundError(Concat(name_, " has no ", function));
}

}  // namespace pixpool
