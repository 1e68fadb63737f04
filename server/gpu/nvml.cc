#include "server/gpu/nvml.h"

#include <array>
#include <optional>

#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/gpu/library.h"

namespace pixpool {
namespace {

// Of nvml.h.
constexpr int kSuccess = 0;
constexpr int kInvalidArgument = 2;  // of a part of a GPU, which has no such figure
constexpr int kNotSupported = 3;
constexpr int kOnTheChip = 0;  // NVML_TEMPERATURE_GPU
using Device = struct NvmlDevice*;
struct Memory {
  unsigned long long total, free, used;  // `used` has what the driver keeps for itself, too
};
struct Utilization {
  unsigned int gpu, memory;  // percent of the time since the last sample
};
using Init = int();
using ErrorString = const char*(int);
using ByName = int(const char*, Device*);
using GetUuid = int(Device, char*, unsigned int);
using GetMemory = int(Device, Memory*);
using GetUtilization = int(Device, Utilization*);
using GetTemperature = int(Device, int, unsigned int*);
using GetPower = int(Device, unsigned int*);

class NvmlLibrary final : public Nvml {
 public:
  explicit NvmlLibrary(const Library& library)
      : library_(library), error_string_(library.Find<ErrorString>("nvmlErrorString")) {}

  ~NvmlLibrary() override {
    if (!begun_) return;
    if (auto* const shutdown = library_.Find<Init>("nvmlShutdown")) shutdown();
  }

  absl::Status Begin(const GpuIdentity& gpu) {
    PIXPOOL_ASSIGN_OR_RETURN(Init* const init, library_.Need<Init>("nvmlInit_v2"));
    PIXPOOL_RETURN_IF_ERROR(Check("nvmlInit_v2", init()));
    begun_ = true;
    PIXPOOL_RETURN_IF_ERROR(FindDevice(gpu));
    std::array<char, 96> text{};
    auto* const get = library_.Find<GetUuid>("nvmlDeviceGetUUID");
    if (get != nullptr && get(device_, text.data(), text.size()) == kSuccess) {
      text.back() = '\0';
      uuid_ = text.data();
    }
    return absl::OkStatus();
  }

  absl::Status Read(GpuReadings* out) override {
    out->uuid = uuid_;
    absl::Status status;
    if (const auto memory = Ask<Memory, GetMemory>("nvmlDeviceGetMemoryInfo", &status)) {
      out->memory_used = static_cast<double>(memory->used);
      out->memory_total = static_cast<double>(memory->total);
    }
    if (const auto use =
            Ask<Utilization, GetUtilization>("nvmlDeviceGetUtilizationRates", &status)) {
      out->utilization = use->gpu / 100.0;
    }
    if (const auto degrees =
            Ask<unsigned int, GetTemperature>("nvmlDeviceGetTemperature", &status, kOnTheChip)) {
      out->celsius = *degrees;
    }
    if (const auto milliwatts = Ask<unsigned int, GetPower>("nvmlDeviceGetPowerUsage", &status)) {
      out->watts = *milliwatts / 1000.0;
    }
    return status;
  }

 private:
  absl::Status Check(const char* function, int result) const {
    if (result == kSuccess) return absl::OkStatus();
    return absl::UnavailableError(
        Concat(function, ": ",
               error_string_ != nullptr ? error_string_(result) : Concat("error ", result)));
  }

  // By the first of its names that NVML knows.
  absl::Status FindDevice(const GpuIdentity& gpu) {
    struct Way {
      const char* function;
      std::string name;
    };
    const Way ways[] = {
        {"nvmlDeviceGetHandleByUUID", gpu.uuid.empty() ? "" : "GPU-" + gpu.uuid},
        {"nvmlDeviceGetHandleByUUID", gpu.uuid.empty() ? "" : "MIG-" + gpu.uuid},
        {"nvmlDeviceGetHandleByPciBusId_v2", gpu.bus},
    };
    absl::Status status = absl::NotFoundError("CUDA tells neither its UUID nor its place");
    for (const Way& way : ways) {
      if (way.name.empty()) continue;
      const auto by_name = library_.Need<ByName>(way.function);
      status = by_name.ok() ? Check(way.function, (*by_name)(way.name.c_str(), &device_))
                            : by_name.status();
      if (!status.ok()) continue;
      uuid_ = way.name;
      return status;
    }
    return status;
  }

  // nullopt where the library or the GPU has no such figure, or with an error, of which the first
  // is kept.
  template <typename Value, typename Function, typename... More>
  std::optional<Value> Ask(const char* function, absl::Status* status, More... more) const {
    auto* const ask = library_.Find<Function>(function);
    if (ask == nullptr) return std::nullopt;
    Value value{};
    const int result = ask(device_, more..., &value);
    if (result == kSuccess) return value;
    if (result != kNotSupported && result != kInvalidArgument)
      status->Update(Check(function, result));
    return std::nullopt;
  }

  const Library library_;
  ErrorString* const error_string_;
  bool begun_ = false;
  Device device_ = nullptr;
  std::string uuid_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Nvml>> Nvml::Open(const std::string& library,
                                                 const GpuIdentity& gpu) {
  PIXPOOL_ASSIGN_OR_RETURN(const Library found, Library::Open(library));
  auto nvml = std::make_unique<NvmlLibrary>(found);
  PIXPOOL_RETURN_IF_ERROR(nvml->Begin(gpu));
  return std::unique_ptr<Nvml>(std::move(nvml));
}

}  // namespace pixpool
