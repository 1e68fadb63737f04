#include "server/repository/leaving_models.h"

#include "server/base/log.h"

namespace pixpool {

bool LeavingModels::Free(const std::function<bool(const Model&)>& forget, TimePoint now) {
  return std::erase_if(all_, [&](Leaving& leaving) {
           if (!leaving.use.expired() || !forget(*leaving.model)) return false;
           leaving.model.reset();
           Log(LogLevel::kInfo, "model_unloaded",
               {{"model", leaving.at.name},
                {"version", leaving.at.version},
                {"seconds", ToSeconds(now - leaving.since)}});
           return true;
         }) > 0;
}

int64_t LeavingModels::bytes() const {
  int64_t bytes = 0;
  for (const Leaving& leaving : all_) bytes += leaving.bytes;
  return bytes;
}

}  // namespace pixpool
