#include "test.h"

#include <cstdio>

namespace gammaloop::test {

namespace {
int failuresInCase = 0;
}

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

void fail(const char* file, int line, const std::string& what) {
  failuresInCase++;
  std::fprintf(stderr, "  %s:%d: %s\n", file, line, what.c_str());
}

int runAll(const std::string& filter) {
  int passed = 0;
  int failed = 0;
  for (const Case& one : cases()) {
    if (one.name.find(filter) == std::string::npos) continue;
    failuresInCase = 0;
    one.body();
    if (failuresInCase == 0) {
      passed++;
    } else {
      failed++;
      std::fprintf(stderr, "FAILED %s\n", one.name.c_str());
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed;
}

}  // namespace gammaloop::test
