// Versions that are out of service and not free yet. Internal to server/repository.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "server/base/clock.h"
#include "server/bundle/manifest.h"
#include "server/pipeline/model_registry.h"

namespace pixpool {

// Keeps each until its last call has ended and nothing of it is left anywhere. Not thread-safe.
class LeavingModels {
 public:
  struct Leaving {
    BundleLocation at;
    std::shared_ptr<Model> model;
    std::weak_ptr<const LoadedModel> use;  // that of calls
    int64_t bytes = 0;                     // of the bundle
    TimePoint since;
  };
  void Add(Leaving leaving) { all_.push_back(std::move(leaving)); }

  // Frees those that can be. `forget`: as Pipeline::Forget. Whether there were any.
  bool Free(const std::function<bool(const Model&)>& forget, TimePoint now);

  int64_t bytes() const;
  // Model::UsualBytes of all.
  int64_t usual_bytes() const;
  size_t count() const { return all_.size(); }

 private:
  std::vector<Leaving> all_;
};

}  // namespace pixpool
