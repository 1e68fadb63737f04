// The pixpool command; see app.cc.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "client/cli/commands.h"

int main(int argc, char** argv) {
  // A file that may not grow is an error of writing, which says what was kept.
  std::signal(SIGXFSZ, SIG_IGN);
  const auto env = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  const pixpool::cli::Console console{std::cout, std::cerr,
                                      pixpool::cli::DetectStyle(isatty(STDOUT_FILENO) != 0, env),
                                      isatty(STDERR_FILENO) != 0, pixpool::client::Timer::Real()};
  return pixpool::cli::Main(argc, argv, console);
}
