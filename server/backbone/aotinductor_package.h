// The files of an AOTInductor package on disk.
#pragma once

#include <filesystem>
#include <string>

namespace pixpool {

// Unpacks a .pt2 into a new folder below the one for temporary files (TMPDIR, else /tmp) and
// removes that folder at its end, also where loading fails half-way: LibTorch's own unpacking
// leaves it behind then. The constructor throws.
class UnpackedPackage {
 public:
  explicit UnpackedPackage(const std::string& path);
  ~UnpackedPackage();
  UnpackedPackage(const UnpackedPackage&) = delete;
  UnpackedPackage& operator=(const UnpackedPackage&) = delete;

  std::string folder() const { return folder_.string(); }

 private:
  std::filesystem::path folder_;
};

}  // namespace pixpool
