#include "server/gpu/cuda_number.h"

#include <array>

#include "absl/strings/escaping.h"
#include "server/base/status_macros.h"
#include "server/base/text.h"
#include "server/gpu/library.h"

namespace pixpool {
namespace {

// Of cuda.h, whose functions give 0 for success.
struct Uuid {
  std::array<char, 16> bytes;
};
using Init = int(unsigned int);
using DeviceGet = int(int*, int);
using DeviceGetUuid = int(Uuid*, int);
using DeviceGetBus = int(char*, int, int);

absl::Status Check(const char* function, int result) {
  if (result == 0) return absl::OkStatus();
  return absl::UnavailableError(Concat(function, " gives the error ", result, " of CUDA"));
}

std::string UuidText(const Uuid& uuid) {
  std::string text = absl::BytesToHexString({uuid.bytes.data(), uuid.bytes.size()});
  for (const size_t at : {20, 16, 12, 8}) text.insert(at, 1, '-');
  return text;
}

}  // namespace

absl::StatusOr<GpuIdentity> IdentifyGpu(const std::string& library, int number) {
  PIXPOOL_ASSIGN_OR_RETURN(const Library cuda, Library::Open(library));
  PIXPOOL_ASSIGN_OR_RETURN(Init* const init, cuda.Need<Init>("cuInit"));
  PIXPOOL_ASSIGN_OR_RETURN(DeviceGet* const get, cuda.Need<DeviceGet>("cuDeviceGet"));
  PIXPOOL_RETURN_IF_ERROR(Check("cuInit", init(0)));
  int device = 0;
  PIXPOOL_RETURN_IF_ERROR(Check("cuDeviceGet", get(&device, number)));
  GpuIdentity gpu;
  // The second form, of CUDA 11.4, gives a MIG part's own.
  for (const char* const name : {"cuDeviceGetUuid_v2", "cuDeviceGetUuid"}) {
    Uuid uuid{};
    auto* const get_uuid = cuda.Find<DeviceGetUuid>(name);
    if (get_uuid == nullptr || get_uuid(&uuid, device) != 0) continue;
    gpu.uuid = UuidText(uuid);
    break;
  }
  std::array<char, 32> bus{};
  auto* const get_bus = cuda.Find<DeviceGetBus>("cuDeviceGetPCIBusId");
  if (get_bus != nullptr && get_bus(bus.data(), static_cast<int>(bus.size()), device) == 0) {
    bus.back() = '\0';
    gpu.bus = bus.data();
  }
  return gpu;
}

}  // namespace pixpool
