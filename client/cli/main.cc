// The pixpool command; see app.cc.
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "client/cli/commands.h"

int main(int argc, char** argv) {
  const auto env = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const pixpool::cli::Console console{std::cout, std::cerr,
                                      pixpool::cli::DetectStyle(isatty(STDOUT_FILENO) != 0, env),
                                      isatty(STDERR_FILENO) != 0, pixpool::client::Timer::Real()};
  return pixpool::cli::Main(argc, argv, console);
}
