#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace pixpool {

// Counters by a label whose values are declared before serving begins.
struct CountersByLabel {
  prometheus::Family<prometheus::Counter>* family = nullptr;
  const char* label = nullptr;
  prometheus::Counter* other = nullptr;  // of values that are not declared; null: they do not count
  std::map<std::string, prometheus::Counter*, std::less<>> counters;

  void Declare(std::string_view value) {
    const std::string name(value);
    counters[name] = &family->Add({{label, name}});
  }
  void Count(std::string_view value) const {
    const auto found = counters.find(value);
    prometheus::Counter* const counter = found != counters.end() ? found->second : other;
    if (counter != nullptr) counter->Increment();
  }
};

}  // namespace pixpool
