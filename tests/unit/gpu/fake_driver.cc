#include "tests/unit/gpu/fake_driver.h"

#include <algorithm>
#include <cstring>

namespace {

using pixpool::FakeDriver;
using pixpool::FakeGpu;

FakeDriver driver;

constexpr int kCudaInvalidDevice = 101;
constexpr int kNvmlNotFound = 6;

int ErrorOf(const char* function) {
  const auto found = driver.errors.find(function);
  return found == driver.errors.end() ? 0 : found->second;
}

int Read(const char* function) {
  driver.WaitWhileItHangs();
  return ErrorOf(function);
}

int Find(const char* name, std::string FakeGpu::*member, FakeGpu** out) {
  for (FakeGpu& gpu : driver.gpus) {
    if (gpu.*member == name) {
      *out = &gpu;
      return 0;
    }
  }
  return kNvmlNotFound;
}

}  // namespace

extern "C" {

FakeDriver* TheFakeDriver() { return &driver; }

int cuInit(unsigned int) { return ErrorOf("cuInit"); }

int cuDeviceGet(int* device, int number) {
  if (number < 0 || static_cast<size_t>(number) >= driver.visible.size()) {
    return kCudaInvalidDevice;
  }
  *device = number;
  return 0;
}

int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  if (!driver.cuda_tells_uuid) return 1;
  const FakeGpu& gpu = driver.gpus[driver.visible[static_cast<size_t>(device)]];
  std::copy(gpu.uuid.begin(), gpu.uuid.end(), uuid);
  return 0;
}

int cuDeviceGetPCIBusId(char* text, int size, int device) {
  const FakeGpu& gpu = driver.gpus[driver.visible[static_cast<size_t>(device)]];
  std::strncpy(text, gpu.bus.c_str(), static_cast<size_t>(size));
  return 0;
}

int nvmlInit_v2() {
  ++driver.inits;
  return ErrorOf("nvmlInit_v2");
}

int nvmlShutdown() {
  ++driver.shutdowns;
  return 0;
}

const char* nvmlErrorString(int result) {
  return result == 15 ? "GPU is lost" : result == 18 ? "Driver/library version mismatch" : "Other";
}

int nvmlDeviceGetHandleByUUID(const char* name, FakeGpu** out) {
  return Find(name, &FakeGpu::nvml_uuid, out);
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* name, FakeGpu** out) {
  return Find(name, &FakeGpu::bus, out);
}

int nvmlDeviceGetUUID(FakeGpu* gpu, char* text, unsigned int size) {
  std::strncpy(text, gpu->nvml_uuid.c_str(), size);
  return 0;
}

struct NvmlMemory {
  unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(FakeGpu* gpu, NvmlMemory* out) {
  *out = {.total = gpu->total, .free = gpu->total - gpu->used, .used = gpu->used};
  return Read("nvmlDeviceGetMemoryInfo");
}

struct NvmlUtilization {
  unsigned int gpu, memory;
};
int nvmlDeviceGetUtilizationRates(FakeGpu* gpu, NvmlUtilization* out) {
  *out = {.gpu = gpu->percent, .memory = 1};
  return Read("nvmlDeviceGetUtilizationRates");
}

int nvmlDeviceGetTemperature(FakeGpu* gpu, int sensor, unsigned int* out) {
  *out = gpu->degrees;
  return sensor != 0 ? 2 : Read("nvmlDeviceGetTemperature");
}

#ifndef PIXPOOL_OLD_DRIVER
int nvmlDeviceGetPowerUsage(FakeGpu* gpu, unsigned int* out) {
  *out = gpu->milliwatts;
  const int error = driver.power_error;
  return error != 0 ? error : Read("nvmlDeviceGetPowerUsage");
}
#endif

}  // extern "C"
