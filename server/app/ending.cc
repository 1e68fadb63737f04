#include "server/app/ending.h"

#include <cstdlib>
#include <thread>

#include "server/base/log.h"

namespace pixpool {

void EndNow(std::string_view why) {
  Log(LogLevel::kWarning, "stopped", {{"finished", false}, {"message", why}});
  StopLog();
  std::_Exit(1);
}

void EndAfter(std::chrono::seconds wait) {
  std::thread([wait] {
    std::this_thread::sleep_for(wait);
    EndNow(kWorkHangs);
  }).detach();
}

void EndAtSignal(const StopSignal& stop) {
  std::thread([stop] {
    stop.Wait();
    EndNow("a second signal came");
  }).detach();
}

}  // namespace pixpool
