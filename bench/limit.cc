// The in-process limit: what decode, resize, backbone and head give over all cores with no server
// around them. Prints one line of JSON; bench/compare.py reads it.
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/types/span.h"
#include "server/base/cpu_quota.h"
#include "server/base/memory.h"
#include "server/base/memory_limit.h"
#include "server/image/decode.h"
#include "server/input/options.h"
#include "server/input/picture_inputs.h"
#include "server/model/model.h"

namespace pixpool {
namespace {

using Seconds = std::chrono::duration<double>;

// Processor time of all threads of this process, those of the engine included.
Seconds ProcessCpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

// Seconds of each stage by the wall, summed over the pictures of one worker. A worker has a core
// for itself, so on a machine that does nothing else this is core time.
struct Sums {
  Seconds decode{}, resize{}, backbone{}, heads{};
  int64_t pictures = 0;
};

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "pixpool-limit: %s\n", std::string(value.status().message()).c_str());
  std::_Exit(1);  // other workers still run
}

// At least one picture.
Sums Work(Model& model, int instance, int workers, const std::string& bytes,
          const std::vector<HeadSpec>& heads, const InputPlan& plan, double seconds) {
  Sums sums;
  const Clock* const clock = Clock::Real();
  const TimePoint start = clock->Now();
  do {
    const TimePoint begin = clock->Now();
    const ImageHeader header = OrDie(ReadImageHeader(bytes, {.max_bytes = INT32_MAX}));
    const PictureInputs made =
        OrDie(MakeInputs({.bytes = bytes, .header = header, .plan = plan}, *clock));
    const TimePoint prepared = clock->Now();
    const ModelTask task = {.input = &made.inputs.front(), .heads = heads};
    ModelResult result;
    ModelRunTimes times;
    model.RunBatch({.instance = instance, .pictures_in_flight = workers}, {&task, 1}, {&result, 1},
                   &times);
    sums.resize += made.preprocess_time;
    sums.decode += prepared - begin - made.preprocess_time;
    sums.backbone += times.backbone;
    sums.heads += times.heads;
    ++sums.pictures;
  } while (Seconds(clock->Now() - start).count() < seconds);
  return sums;
}

int Main(const std::map<std::string, std::string>& args) {
  const int cores = AvailableCpuCount();
  TuneAllocator(cores, AvailableMemoryBytes());
  const auto arg = [&args](const std::string& name, const std::string& fallback) {
    const auto found = args.find(name);
    return found == args.end() ? fallback : found->second;
  };
  const Bundle bundle = OrDie(OpenBundle(arg("model", "models/efficientnet-lite0/1")));
  const auto model = OrDie(LoadModel(
      bundle,
      {.device = "cpu", .engine = arg("engine", "auto"), .precision = arg("precision", "auto")},
      {.cores = cores}));
  std::ifstream file(arg("image", ""), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const std::vector<HeadSpec> heads = OrDie(ValidateHeads({}, model->info().Scope()));
  const InputPlan plan = OrDie(MakeInputPlan(model->info().input,
                                             {.scaled_decode = arg("decode", "exact") == "scaled"},
                                             InputLimits().max_side));
  // One worker shows the latency of one picture with all cores, several the rate.
  const int workers = std::min(model->instance_count(), std::stoi(arg("workers", "1024")));
  const double seconds = std::stod(arg("seconds", "5"));

  std::vector<Sums> sums(static_cast<size_t>(workers));
  std::vector<std::thread> threads;
  // The engine prepares for the load that it meets first; that is none of the pictures' cost.
  std::barrier warm(workers + 1);
  for (int i = 0; i < workers; ++i) {
    threads.emplace_back([&, i] {
      model->EnterInstanceThread(i);
      Work(*model, i, workers, bytes, heads, plan, 0);
      warm.arrive_and_wait();
      sums[static_cast<size_t>(i)] = Work(*model, i, workers, bytes, heads, plan, seconds);
    });
  }
  warm.arrive_and_wait();
  const TimePoint start = Clock::Real()->Now();
  const Seconds cpu_start = ProcessCpu();
  for (std::thread& thread : threads) thread.join();
  const double elapsed = Seconds(Clock::Real()->Now() - start).count();
  const Seconds cpu = ProcessCpu() - cpu_start;

  Sums all;
  for (const Sums& s : sums) {
    all.decode += s.decode;
    all.resize += s.resize;
    all.backbone += s.backbone;
    all.heads += s.heads;
    all.pictures += s.pictures;
  }
  const auto ms = [&all](Seconds s) { return 1e3 * s.count() / static_cast<double>(all.pictures); };
  std::printf(
      "{\"images_per_second\": %.2f, \"workers\": %d, \"decode_ms\": %.3f, \"resize_ms\": %.3f, "
      "\"backbone_ms\": %.3f, \"heads_ms\": %.3f, \"cpu_ms\": %.3f}\n",
      static_cast<double>(all.pictures) / elapsed, workers, ms(all.decode), ms(all.resize),
      ms(all.backbone), ms(all.heads), ms(cpu));
  return 0;
}

}  // namespace
}  // namespace pixpool

int main(int argc, char** argv) {
  std::map<std::string, std::string> args;  // --name=value
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    if (!text.starts_with("--") || equals == std::string::npos) {
      std::fputs(
          "usage: pixpool-limit --image=FILE [--model=BUNDLE] [--engine=E] [--precision=P]\n"
          "                     [--workers=N] [--seconds=S] [--decode=exact|scaled]\n",
          stderr);
      return 2;
    }
    args[text.substr(2, equals - 2)] = text.substr(equals + 1);
  }
  return pixpool::Main(args);
}
