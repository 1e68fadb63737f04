#include "server/repository/leaving_models.h"

#include <utility>

#include "server/base/log.h"

namespace pixpool {

bool LeavingModels::Free(const std::function<bool(const Model&)>& forget, TimePoint now) {
  bool freed = false;
  for (auto it = all_.begin(); it != all_.end();) {
    if (!it->use.expired() || !forget(*it->model)) {
      ++it;
      continue;
    }
    // What throws further on leaves the others whole.
    Leaving gone = std::move(*it);
    it = all_.erase(it);
    gone.model.reset();
    freed = true;
    Log(LogLevel::kInfo, "model_unloaded",
        {{"model", gone.at.name},
         {"version", gone.at.version},
         {"seconds", ToSeconds(now - gone.since)}});
  }
  return freed;
}

int64_t LeavingModels::bytes() const {
  int64_t bytes = 0;
  for (const Leaving& leaving : all_) bytes += leaving.bytes;
  return bytes;
}

int64_t LeavingModels::usual_bytes() const {
  int64_t bytes = 0;
  for (const Leaving& leaving : all_) bytes += leaving.model->UsualBytes();
  return bytes;
}

}  // namespace pixpool
