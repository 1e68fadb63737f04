// Values as bytes, for messages between processes of one build on one machine. What is written in
// one order is read in the same.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "server/image/image.h"

namespace pixpool {

template <typename T>
concept PlainValue = (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) || std::is_enum_v<T>;

class ArchiveWriter {
 public:
  template <typename... Values>
  void operator()(const Values&... values) {
    (Put(values), ...);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  template <PlainValue T>
  void Put(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  void Put(const bool& value) { Put(static_cast<uint8_t>(value)); }
  void Put(const std::string& text) {
    Put(static_cast<uint32_t>(text.size()));
    bytes_ += text;
  }
  template <typename T>
  void Put(const std::vector<T>& values) {
    Put(static_cast<uint32_t>(values.size()));
    for (const T& value : values) Put(value);
  }
  template <typename A, typename B>
  void Put(const std::pair<A, B>& values) {
    (*this)(values.first, values.second);
  }

  void Put(const Region& region) { (*this)(region.left, region.top, region.width, region.height); }

  std::string bytes_;
};

// Reads what may be anything: where it is not what was asked for, ok() is false from then on and
// what is read is empty.
class ArchiveReader {
 public:
  explicit ArchiveReader(std::string_view bytes) : left_(bytes) {}

  template <typename... Values>
  void operator()(Values&... values) {
    (Get(values), ...);
  }
  bool ok() const { return ok_; }
  // Whether all was read.
  bool done() const { return ok_ && left_.empty(); }

 private:
  template <PlainValue T>
  void Get(T& value) {
    const std::string_view bytes = Cut(sizeof(value));
    if (ok_) std::memcpy(&value, bytes.data(), sizeof(value));
  }
  void Get(bool& value) {
    uint8_t byte = 0;
    Get(byte);
    value = byte != 0;
  }
  void Get(std::string& text) {
    uint32_t size = 0;
    Get(size);
    text = Cut(size);
  }
  template <typename T>
  void Get(std::vector<T>& values) {
    uint32_t count = 0;
    Get(count);
    values.clear();
    // Each value takes a byte at the least, so a wrong count ends before it takes memory.
    for (uint32_t i = 0; i < count && ok_; ++i) Get(values.emplace_back());
  }
  template <typename A, typename B>
  void Get(std::pair<A, B>& values) {
    (*this)(values.first, values.second);
  }

  void Get(Region& region) { (*this)(region.left, region.top, region.width, region.height); }

  std::string_view Cut(size_t size) {
    ok_ = ok_ && size <= left_.size();
    if (!ok_) return {};
    const std::string_view cut = left_.substr(0, size);
    left_.remove_prefix(size);
    return cut;
  }

  std::string_view left_;
  bool ok_ = true;
};

}  // namespace pixpool
